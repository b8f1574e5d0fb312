//! Source: Kubernetes documentation, `StatefulSet`, "Deployment and Scaling Guarantees".

use k8s_openapi::api::core::v1::Pod;

use super::{Moment, controllers_work, stopped_in_order, watching};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::Set;

/// Scaling down MUST end pods from the highest ordinal on, one at a time, the successor fully gone
/// first.
pub(crate) const CASE: Case = Case::new("T02", |world| Box::pin(run(world)));

const REPLICAS: i32 = 3;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(REPLICAS)
        .template("data", &class);
    let set = set.hold_end().create().await?;
    set.served("data").await?;
    set.ready(REPLICAS).await?;
    set.mounted("data", REPLICAS).await?;
    let mut filled = Vec::new();
    for volume in set.volumes("data", REPLICAS).await? {
        let directory = volume.existing_directory().await?;
        let content = world.fill(&directory).await?;
        filled.push((directory, content));
    }

    let act = Box::pin(one_by_one(world, &set));
    let (moments, ()) = watching(world, "web", Moment::is_empty, act).await?;
    stopped_in_order(&moments, REPLICAS)?;
    set.volumes("data", REPLICAS).await?;
    for (directory, content) in &filled {
        world.unchanged(directory, content).await?;
    }
    Ok(())
}

/// Scales to nothing with every pod's end held, and lets one after the other go.
async fn one_by_one(world: &World, set: &Set<'_>) -> CaseResult {
    set.scale(0).await?;
    for ordinal in (0..REPLICAS).rev() {
        let pod = set.pod(ordinal);
        world.pod_ending(&pod).await?;
        if ordinal > 0 {
            controllers_work(world, &format!("control{ordinal}")).await?;
            let before = set.pod(ordinal - 1);
            let found = world.api::<Pod>().get_opt(&before).await?;
            let stays = found.is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
            ensure(
                stays,
                format!("pod {before} stays while {pod} is being deleted"),
                || format!("pod {before} is being deleted, or gone"),
            )?;
        }
        world.release_end(&pod).await?;
        world.pod_gone(&pod).await?;
    }
    Ok(())
}

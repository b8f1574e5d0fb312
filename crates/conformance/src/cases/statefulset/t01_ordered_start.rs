//! Source: Kubernetes documentation, `StatefulSet`, "Deployment and Scaling Guarantees".

use k8s_openapi::api::core::v1::Pod;

use super::{Moment, controllers_work, started_in_order, watching};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::{Set, SetBuilder};

/// Pods MUST be created in the order of their ordinals, each after its predecessor is Running and
/// Ready.
pub(crate) const CASE: Case = Case::new("T01", |world| Box::pin(run(world)));

const REPLICAS: i32 = 3;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(REPLICAS)
        .template("data", &class);
    let set = set.hold_ready();
    let all_ready = |pods: &Moment| pods.len() == 3 && pods.values().all(|pod| pod.ready);
    let act = Box::pin(one_by_one(world, set));
    let (moments, set) = watching(world, "web", all_ready, act).await?;
    started_in_order(&moments)?;
    set.volumes("data", REPLICAS).await?;
    set.mounted("data", REPLICAS).await
}

/// Starts the set with its pods held unready, and lets one after the other become Ready.
async fn one_by_one<'w>(world: &'w World, set: SetBuilder<'w>) -> CaseResult<Set<'w>> {
    let set = set.create().await?;
    set.served("data").await?;
    for ordinal in 0..REPLICAS {
        let pod = set.pod(ordinal);
        world.pod_running(&pod).await?;
        if ordinal + 1 < REPLICAS {
            controllers_work(world, &format!("control{ordinal}")).await?;
            let next = set.pod(ordinal + 1);
            let exists = world.api::<Pod>().get_opt(&next).await?.is_some();
            ensure(
                !exists,
                format!("there is no pod {next} while {pod} is unready"),
                || format!("pod {next} exists"),
            )?;
        }
        world.release_ready(&pod).await?;
        world.pod_ready(&pod).await?;
    }
    Ok(set)
}

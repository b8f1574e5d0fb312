//! Source: Kubernetes documentation, `StatefulSet`, "Parallel Pod Management".

use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::is_ready;

/// With policy Parallel pods MUST be started and ended without waiting for one another.
pub(crate) const CASE: Case = Case::new("T04", |world| Box::pin(run(world)));

const REPLICAS: i32 = 3;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(REPLICAS)
        .parallel()
        .template("data", &class);
    let set = set.hold_ready().hold_end().create().await?;
    set.served("data").await?;

    for ordinal in 0..REPLICAS {
        let pod = world.pod_running(&set.pod(ordinal)).await?;
        // Else it would not show that nobody waited.
        ensure(
            !is_ready(&pod),
            format!("pod {} is held unready", set.pod(ordinal)),
            || "it is Ready".to_owned(),
        )?;
    }
    for ordinal in 0..REPLICAS {
        world.release_ready(&set.pod(ordinal)).await?;
    }
    set.ready(REPLICAS).await?;
    set.volumes("data", REPLICAS).await?;
    set.mounted("data", REPLICAS).await?;

    set.scale(0).await?;
    for ordinal in 0..REPLICAS {
        world.pod_ending(&set.pod(ordinal)).await?;
    }
    for ordinal in 0..REPLICAS {
        world.release_end(&set.pod(ordinal)).await?;
    }
    set.ready(0).await?;
    set.volumes("data", REPLICAS).await.map(drop)
}

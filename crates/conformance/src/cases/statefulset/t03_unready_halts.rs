//! Source: Kubernetes end-to-end tests, `StatefulSet` ("halt if any stateful pod is unhealthy");
//! Kubernetes documentation, `StatefulSet`, "Deployment and Scaling Guarantees".

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::controllers_work;
use crate::case::Case;
use crate::expect::Recording;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::{Set, is_ready};

/// A pod that is not Ready MUST halt scaling, up and down, until it is Ready again.
pub(crate) const CASE: Case = Case::new("T03", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world.statefulset("web").replicas(2);
    let set = set.template("data", &class).hold_ready().create().await?;
    set.served("data").await?;
    for ordinal in 0..2 {
        let pod = set.pod(ordinal);
        world.pod_running(&pod).await?;
        world.release_ready(&pod).await?;
        world.pod_ready(&pod).await?;
    }
    let volumes = set.volumes("data", 2).await?;
    let mut filled = Vec::new();
    for volume in &volumes {
        let directory = volume.existing_directory().await?;
        filled.push((world.fill(&directory).await?, directory));
    }

    // Up: the next pod is not made while an earlier one is unready.
    unready(world, &set, 1).await?;
    let pods = world.record::<Pod>().await?;
    set.scale(3).await?;
    controllers_work(world, "while-up").await?;
    let next = set.pod(2);
    never(
        &pods,
        &format!("pod {next} is not made while {} is unready", set.pod(0)),
        |pod| pod.name_any() == next,
    )?;
    ready_again(world, &set).await?;
    world.pod_running(&next).await?;
    world.release_ready(&next).await?;
    set.ready(3).await?;

    // Down: no pod is ended while an earlier one that stays is unready.
    unready(world, &set, 2).await?;
    let pods = world.record::<Pod>().await?;
    set.scale(1).await?;
    controllers_work(world, "while-down").await?;
    let later = [set.pod(1), set.pod(2)];
    never(
        &pods,
        &format!("no pod ends while {} is unready", set.pod(0)),
        |pod| later.contains(&pod.name_any()) && pod.metadata.deletion_timestamp.is_some(),
    )?;
    ready_again(world, &set).await?;
    set.ready(1).await?;

    set.volumes("data", 3).await?;
    for (content, directory) in &filled {
        world.unchanged(directory, content).await?;
    }
    if world.real_nodes() {
        let (_, directory) = &filled[0];
        world
            .same_in_pod(&set.pod(0), "/mnt/data", directory)
            .await?;
    }
    set.mounted("data", 1).await
}

/// Makes the set's first pod unready, and waits until the controller knows it: `others` of its pods
/// are Ready still.
async fn unready(world: &World, set: &Set<'_>, others: i32) -> CaseResult {
    let first = set.pod(0);
    world.hold_ready_again(&first).await?;
    let what = format!("pod {first} is unready");
    let unready = |pod: Option<&Pod>| pod.filter(|pod| !is_ready(pod)).map(|_| ());
    world
        .eventually(&first, what, Limit::ControlPlane, unready)
        .await?;
    // It counts what it scales by.
    let what = format!("set {} counts {others} Ready pods", set.name);
    let counts = |set: Option<&StatefulSet>| {
        let ready = set?.status.as_ref()?.ready_replicas.unwrap_or_default();
        (ready == others).then_some(())
    };
    world
        .eventually(&set.name, what, Limit::ControlPlane, counts)
        .await
}

async fn ready_again(world: &World, set: &Set<'_>) -> CaseResult {
    let first = set.pod(0);
    world.release_ready(&first).await?;
    world.pod_ready(&first).await.map(drop)
}

/// Fails if the recording shows a pod that is `wrong`.
fn never(pods: &Recording<Pod>, expected: &str, wrong: impl Fn(&Pod) -> bool) -> CaseResult {
    pods.complete()?;
    let changes = pods.changes();
    let found = changes.iter().find(|change| wrong(&change.object));
    ensure(found.is_none(), expected, || {
        let name = found.map(|change| change.object.name_any());
        format!("it happened to pod {}", name.unwrap_or_default())
    })
}

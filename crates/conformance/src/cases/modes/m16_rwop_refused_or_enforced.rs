//! Source: ours; Kubernetes documentation, persistent volumes, "Access Modes" (`ReadWriteOncePod`);
//! KEP-2485 (the scheduler enforces it).

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::pods::Shell;
use crate::world::volume::Volume;

/// A claim for `ReadWriteOncePod` is refused with an event, or it is served and a second pod that
/// uses it stays unschedulable for as long as the first one is there.
pub(crate) const CASE: Case = Case::new("M16", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class);
    let claim = claim.access_modes(&["ReadWriteOncePod"]).create().await?;
    world.control(&class).await?.existing_directory().await?;
    match claim.bound_or_refused().await? {
        None => claim.not_served().await,
        Some(volume) => enforced(world, &class, &volume).await,
    }
}

async fn enforced(world: &World, class: &StorageClass, volume: &Volume<'_>) -> CaseResult {
    let granted = volume.spec().access_modes.unwrap_or_default();
    ensure_eq("the volume's access modes", &granted, &["ReadWriteOncePod"])?;
    let directory = volume.existing_directory().await?;
    let first = world.shell("first").mount("data", MOUNT).create().await?;
    first.ready().await?;
    if world.real_nodes() {
        world.pod_writes("first", MOUNT, &directory, "own").await?;
    }
    let content = world.manifest(&directory).await?;

    let second = world.shell("second").mount("data", MOUNT).create().await?;
    let what = "pod second, which uses the claim of pod first, is unschedulable";
    let unschedulable = world.eventually("second", what, Limit::ControlPlane, |pod| {
        pod.is_some_and(is_unschedulable).then_some(())
    });
    unschedulable.await?;
    // The scheduler places another pod in this window: it is the claim.
    let control = world.control_named("other", class).await?;
    control.existing_directory().await?;
    let other = world.shell("other").mount("other", MOUNT).create().await?;
    other.ready().await?;
    not_placed(&second).await?;

    first.delete().await?;
    // Nothing else was in its way.
    second.ready().await?;
    world.unchanged(&directory, &content).await?;
    if world.real_nodes() {
        world.same_in_pod("second", MOUNT, &directory).await?;
    }
    Ok(())
}

fn is_unschedulable(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions.unwrap_or_default().iter().any(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })
}

async fn not_placed(pod: &Shell<'_>) -> CaseResult {
    let node = pod.now().await?.spec.and_then(|spec| spec.node_name);
    match node {
        None => Ok(()),
        Some(node) => Err(Trouble::failed(
            format!("pod {} is on no node", pod.name),
            format!("it was placed on {node}"),
        )),
    }
}

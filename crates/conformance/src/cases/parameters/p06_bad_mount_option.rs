//! Source: storage.k8s.io/v1 `StorageClass`: mount options are not validated, the mount fails when
//! one is invalid.

use k8s_openapi::api::core::v1::Pod;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::pods::is_ready;

/// With a mount option that no client knows there MUST be a volume, the pod MUST get an event
/// `FailedMount`, and nothing else may break.
pub(crate) const CASE: Case = Case::new("P06", |world| Box::pin(run(world)));

const OPTION: &str = "claimcheckunknownoption";
const MOUNT: &str = "/mnt/data";

async fn run(world: &World) -> CaseResult {
    // Beside those that the subject's class needs.
    let template = &world.subject().class.mount_options;
    let options: Vec<&str> = template
        .iter()
        .map(String::as_str)
        .chain([OPTION])
        .collect();
    let broken = world.class("broken").mount_options(&options);
    let broken = broken.reclaim_policy("Delete").create().await?;
    let sound = world.class("sound").create().await?;

    let claim = world.claim("broken").class(&broken).create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let has = volume.spec().mount_options.unwrap_or_default();
    ensure(
        has.iter().any(|option| option == OPTION),
        format!("the volume has the class's option {OPTION}"),
        || format!("it has {has:?}"),
    )?;
    let pod = world.shell("broken").mount("broken", MOUNT);
    let pod = pod.create().await?;
    let what = "pod broken is placed on a node";
    let placed = world.eventually("broken", what, Limit::Pod, |pod: Option<&Pod>| {
        pod?.spec.as_ref()?.node_name.clone()
    });
    let node = placed.await?;
    let uid = pod.now().await?.metadata.uid.unwrap_or_default();
    world.event(&uid, "Warning", "FailedMount").await?;

    // The same node mounts another volume of the same subject in this window.
    world.control(&sound).await?;
    let workers = world.workers();
    let mut control = world.shell("control").mount("control", MOUNT);
    if let Some(node) = workers.iter().find(|worker| worker.name == node) {
        control = control.node(node);
    }
    let control = control.create().await?;
    control.ready().await?;
    control.run(&format!("echo works > {MOUNT}/file")).await?;
    ensure(
        !is_ready(&pod.now().await?),
        "the pod with the broken mount does not run",
        || "it is Ready".to_owned(),
    )?;

    // And all of it can be taken away, although nothing was ever mounted.
    pod.delete().await?;
    claim.delete_and_wait().await?;
    volume.gone().await?;
    world.nothing_at(&directory).await
}

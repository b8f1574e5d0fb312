//! Source: persistent volumes documentation, "Storage Object in Use Protection"; Kubernetes e2e
//! test of claim protection.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;

/// A claim that is deleted while a pod uses it MUST stay Terminating, with its volume and directory
/// untouched, until the pod has ended.
pub(crate) const CASE: Case = Case::new("R13", |world| Box::pin(run(world)));

/// The finalizer of the control plane's protection.
const PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Where [`World::pod`] mounts the claim.
const MOUNT: &str = "/mnt/used";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").reclaim_policy("Delete");
    let class = class.create().await?;
    let used = world.claim("used").class(&class).create().await?;
    let pod = world.pod("user", &["used"]).await?;
    let volume = used.bound().await?;
    pod.ready().await?;
    let directory = volume.existing_directory().await?;
    let content = world.fill(&directory).await?;
    let free = world.claim("free").class(&class).create().await?;
    let free_volume = free.bound().await?;
    let free_directory = free_volume.existing_directory().await?;
    world.fill(&free_directory).await?;

    used.delete().await?;
    // The same deletion without a pod runs its full course: in this window the other one could too.
    free.delete_and_wait().await?;
    free_volume.gone().await?;
    world.nothing_at(&free_directory).await?;
    still_there(&used, &volume).await?;
    world.unchanged(&directory, &content).await?;
    if world.real_nodes() {
        world.same_in_pod(&pod.name, MOUNT, &directory).await?;
        let file = "written-while-terminating";
        world.pod_writes(&pod.name, MOUNT, &directory, file).await?;
        still_there(&used, &volume).await?;
    }

    pod.delete().await?;
    let what = "claim used is gone once its pod is";
    let gone = |claim: Option<&PersistentVolumeClaim>| claim.is_none().then_some(());
    world
        .eventually("used", what, Limit::ControlPlane, gone)
        .await?;
    volume.gone().await?;
    world.nothing_at(&directory).await
}

/// The claim is Terminating and protected, and its volume Bound and not being deleted.
async fn still_there(claim: &Claim<'_>, volume: &Volume<'_>) -> CaseResult {
    let expected = "the claim stays Terminating while a pod uses it";
    let Some(now) = claim.now().await? else {
        return Err(Trouble::failed(expected, "the claim is gone"));
    };
    let protected = now.metadata.deletion_timestamp.is_some()
        && now.finalizers().iter().any(|name| name == PROTECTION);
    ensure(protected, expected, || {
        format!(
            "it was deleted at {:?} and has the finalizers {:?}",
            now.metadata.deletion_timestamp,
            now.finalizers()
        )
    })?;
    let expected = format!("volume {} stays Bound", volume.name());
    let Some(now) = volume.now().await? else {
        return Err(Trouble::failed(expected, "the volume is gone"));
    };
    ensure(now.metadata.deletion_timestamp.is_none(), expected, || {
        "it is being deleted".to_owned()
    })?;
    let phase = now.status.and_then(|status| status.phase);
    ensure_eq("the volume's phase", &phase.as_deref(), &Some("Bound"))
}

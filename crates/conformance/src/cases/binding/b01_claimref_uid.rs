//! Source: volume-provisioning proposal, step 5 (the volume's claimRef is filled in full).
//!
//! The controller-manager completes the claimRef of a volume that it binds, so the volume is judged
//! as it was created too, by a recording that begins before the claim.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use kube::ResourceExt;
use kube::runtime::watcher;

use crate::case::Case;
use crate::expect::Recording;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;

/// A Bound claim and its volume MUST name each other, the volume by namespace, name and UID, and so
/// from its creation on.
pub(crate) const CASE: Case = Case::new("B01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let limit = world.limit(Limit::ControlPlane);
    let volumes = world.cluster_api::<PersistentVolume>();
    let recording = Recording::start(volumes, watcher::Config::default(), limit).await?;
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    volume.existing_directory().await?;

    let named = volume
        .claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone());
    ensure_eq("the claim's volumeName", &named, &Some(volume.name()))?;
    let reference = volume.spec().claim_ref.unwrap_or_default();
    names(world, &claim, &reference, "now")?;
    let created = recording
        .changes()
        .into_iter()
        .find(|change| change.object.name_any() == volume.name())
        .ok_or_else(|| Trouble::inconclusive("the recording of volumes missed the creation"))?;
    let reference = created.object.spec.and_then(|spec| spec.claim_ref);
    names(world, &claim, &reference.unwrap_or_default(), "as created")
}

fn names(world: &World, claim: &Claim<'_>, reference: &ObjectReference, when: &str) -> CaseResult {
    let ObjectReference {
        namespace,
        name,
        uid,
        ..
    } = reference;
    let what = |field: &str| format!("claimRef.{field} {when}");
    ensure_eq(
        &what("namespace"),
        &namespace.as_deref(),
        &Some(world.namespace()),
    )?;
    ensure_eq(&what("name"), name, &Some(claim.name()))?;
    ensure_eq(&what("uid"), uid, &Some(claim.uid()))
}

//! Source: volume-provisioning proposal, step 5 (the volume's claimRef is filled in full).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A Bound claim and its volume MUST name each other, the volume by namespace, name and UID.
pub(crate) const CASE: Case = Case::new("B01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    volume.existing_directory().await?;

    let reference = volume.spec().claim_ref.unwrap_or_default();
    ensure_eq(
        "claimRef.namespace",
        &reference.namespace.as_deref(),
        &Some(world.namespace()),
    )?;
    ensure_eq("claimRef.name", &reference.name, &Some(claim.name()))?;
    ensure_eq("claimRef.uid", &reference.uid, &Some(claim.uid()))?;
    let named = volume
        .claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone());
    ensure_eq("the claim's volumeName", &named, &Some(volume.name()))
}

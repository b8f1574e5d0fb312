//! Source: volume-provisioning proposal, deletion; persistent volumes documentation (Retain).

use k8s_openapi::api::core::v1::PersistentVolumeSpec;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// With policy Retain the volume MUST become Released, and the object, its directory and every byte
/// in it stay.
pub(crate) const CASE: Case = Case::new("R02", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let retain = world
        .class("retain")
        .reclaim_policy("Retain")
        .create()
        .await?;
    let claim = world.claim("data").class(&retain).create().await?;
    let volume = claim.bound().await?;
    volume.expect_left()?;
    let directory = volume.existing_directory().await?;
    let data = world.fill(&directory).await?;
    claim.delete_and_wait().await?;
    volume.stays_released().await?;

    // In the same window, and after it, a volume with policy Delete is reclaimed.
    let delete = world
        .class("delete")
        .reclaim_policy("Delete")
        .create()
        .await?;
    let control = world.claim("control").class(&delete).create().await?;
    let reclaimed = control.bound().await?;
    control.delete_and_wait().await?;
    reclaimed.gone().await?;

    let kept = volume.stays_released().await?;
    let name = volume.name();
    ensure_eq(
        &format!("the UID of volume {name}"),
        &kept.metadata.uid,
        &volume.object.metadata.uid,
    )?;
    // Without the reference, whose version changes while the two are bound.
    let comparable = |mut spec: PersistentVolumeSpec| {
        let reference = spec.claim_ref.get_or_insert_default();
        reference.resource_version = None;
        spec
    };
    let now = comparable(kept.spec.unwrap_or_default());
    ensure_eq(
        &format!("the specification of volume {name}"),
        &now,
        &comparable(volume.spec()),
    )?;
    world.unchanged(&directory, &data).await
}

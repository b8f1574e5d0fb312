//! Source: sig-storage-lib-external-provisioner (no block support unless declared); Kubernetes
//! end-to-end tests, volume mode.

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A claim for a Block volume MUST be refused with an event and get no volume and no directory.
pub(crate) const CASE: Case = Case::new("M01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let block = |spec: &mut k8s_openapi::api::core::v1::PersistentVolumeClaimSpec| {
        spec.volume_mode = Some("Block".to_owned());
    };
    let claim = world
        .claim("data")
        .class(&class)
        .with(block)
        .create()
        .await?;
    // The rule asks for the event, not for its words.
    world.refused(&claim.uid(), "").await?;

    world.control(&class).await?.existing_directory().await?;
    claim.still_pending().await?;
    claim.has_no_volume_or_directory().await
}

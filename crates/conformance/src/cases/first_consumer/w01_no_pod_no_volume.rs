//! Source: Kubernetes documentation, storage classes, "Volume Binding Mode"; the volume
//! controller's event `WaitForFirstConsumer`.

use super::WAIT;
use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// Without a pod a claim of a class with delayed binding MUST stay Pending, without volume and
/// directory.
pub(crate) const CASE: Case = Case::new("W01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let delayed = world.class("delayed").binding_mode(WAIT).create().await?;
    // The subject's own binding mode: some can serve no other.
    let served = world.class("served").create().await?;
    let claim = world.claim("data").class(&delayed).create().await?;
    world.event(&claim.uid(), "Normal", WAIT).await?;

    world.control(&served).await?.existing_directory().await?;
    claim.still_pending().await?;
    claim.has_no_volume_or_directory().await
}

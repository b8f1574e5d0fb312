//! Source: KEP-3333 (retroactive default class): the volume controller assigns it at the claim's
//! next sync, which is periodic.

use super::{assigned, waiting_claim};
use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A default class made later MUST be assigned to a waiting claim without a class.
pub(crate) const CASE: Case = Case::exclusive("D04", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let claim = waiting_claim(world).await?;
    let class = world.class("late").create().await?;
    // The class serves while it is no default yet, and the waiting claim is left alone.
    world.control(&class).await?.existing_directory().await?;
    claim.still_pending().await?;
    claim.has_no_volume_or_directory().await?;

    world.make_default(&class).await?;
    assigned(world, &claim, &class).await
}

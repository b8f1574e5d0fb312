//! Source: walkthrough step 4.

use super::{class, test_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;

/// With `archiveOnDelete: "false"` the volume and its directory MUST go with the claim.
pub(crate) const CASE: Case = Case::step("G04", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "managed-nfs-storage").await?;
    let claim = test_claim(world, &class).await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    world.fill(&directory).await?;

    claim.delete().await?;
    volume.gone().await?;
    world.nothing_at(&directory).await?;
    let entries = world.export().list("").await?;
    let left: Vec<_> = entries
        .into_iter()
        .filter(|entry| entry.contains(&claim.uid()))
        .collect();
    ensure(
        left.is_empty(),
        "nothing of the claim is left on the export",
        || left.join(", "),
    )
}

//! Source: walkthrough step 5.

use super::{class, directory_name, test_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// With `archiveOnDelete: "true"` the directory MUST become `archived-<directory>` with the same
/// bytes, and the volume MUST go.
pub(crate) const CASE: Case = Case::step("G05", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "managed-nfs-storage-archive").await?;
    let claim = test_claim(world, &class).await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    ensure_eq("the directory", &directory, &directory_name(world, &volume))?;
    let before = world.fill(&directory).await?;

    let archive = format!("archived-{directory}");
    world.expect_directory_left(&archive);
    claim.delete().await?;
    volume.gone().await?;
    world.nothing_at(&directory).await?;
    world.unchanged(&archive, &before).await
}

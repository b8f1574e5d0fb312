//! Source: volume-provisioning proposal, step 5 (the volume names the storage that was made).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;

/// A volume's source MUST point at a directory that exists on the export, that can be written to,
/// and that belongs to this volume alone.
pub(crate) const CASE: Case = Case::new("B09", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let one = world.claim("one").class(&class).create().await?;
    let two = world.claim("two").class(&class).create().await?;

    // The directory is there as soon as the volume is, not only once the claim is Bound.
    let volume = one.provisioned().await?;
    let directory = volume.existing_directory().await?;

    let other = two.bound().await?.existing_directory().await?;
    ensure(
        directory != other,
        "two claims have two directories",
        || format!("both volumes name {directory}"),
    )?;
    let mine = world.fill(&directory).await?;
    let theirs = world.manifest(&other).await?;
    one.bound().await?;
    world.unchanged(&directory, &mine).await?;
    world.unchanged(&other, &theirs).await
}

//! Source: walkthrough step 6.

use kube::ResourceExt;

use super::{class, test_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// A second claim MUST have a volume and directory of its own, untouched by the first one's end.
pub(crate) const CASE: Case = Case::step("G06", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "managed-nfs-storage").await?;
    let first_claim = test_claim(world, &class).await?;
    let second_claim = world
        .claim("nfs-pv2")
        .class(&class)
        .access_modes(&["ReadWriteMany"])
        .create()
        .await?;
    let first = first_claim.bound().await?;
    let second = second_claim.bound().await?;
    ensure(
        first.name() != second.name(),
        "the claims have two volumes",
        || first.name(),
    )?;
    let first_directory = first.existing_directory().await?;
    let second_directory = second.existing_directory().await?;
    ensure(
        first_directory != second_directory,
        "the volumes have two directories",
        || first_directory.clone(),
    )?;
    world.fill(&first_directory).await?;
    let before = world.fill(&second_directory).await?;

    first_claim.delete().await?;
    first.gone().await?;
    world.nothing_at(&first_directory).await?;
    world.unchanged(&second_directory, &before).await?;
    let still = second.now().await?.and_then(|volume| volume.uid());
    ensure_eq("the second volume's UID", &still, &second.object.uid())?;
    let claim = second_claim.now().await?;
    let phase = claim
        .and_then(|claim| claim.status)
        .and_then(|status| status.phase);
    ensure_eq(
        "the second claim's phase",
        &phase.as_deref(),
        &Some("Bound"),
    )
}

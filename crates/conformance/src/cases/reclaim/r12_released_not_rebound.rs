//! Source: persistent volumes documentation (a Released volume is not available for another claim:
//! the earlier claimant's data is still on it).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// A Released volume MUST NOT be bound again, not even to a new claim of the same name: that one
/// gets a new volume with a directory of its own.
pub(crate) const CASE: Case = Case::new("R12", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("retain")
        .reclaim_policy("Retain")
        .without_parameter("pathPattern");
    let class = class.create().await?;
    let first = world.claim("data").class(&class).create().await?;
    let old = first.bound().await?;
    old.expect_left()?;
    let directory = old.existing_directory().await?;
    let data = world.fill(&directory).await?;
    first.delete_and_wait().await?;
    old.stays_released().await?;

    let new = world
        .claim("data")
        .class(&class)
        .create()
        .await?
        .bound()
        .await?;
    ensure(
        new.name() != old.name(),
        "the new claim gets a new volume",
        || {
            format!(
                "it is bound to {}, which the earlier claim released",
                old.name()
            )
        },
    )?;
    new.expect_left()?;
    let other = new.existing_directory().await?;
    ensure(
        other != directory,
        "the new volume has a directory of its own",
        || format!("both volumes name {directory}"),
    )?;

    let released = old.stays_released().await?;
    let reference = released
        .spec
        .and_then(|spec| spec.claim_ref)
        .unwrap_or_default();
    let what = format!("claimRef.uid of volume {}", old.name());
    ensure_eq(&what, &reference.uid, &Some(first.uid()))?;
    world.unchanged(&directory, &data).await
}

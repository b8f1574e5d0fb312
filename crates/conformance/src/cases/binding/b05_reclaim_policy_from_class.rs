//! Source: storage classes documentation and API (a class without a policy means Delete).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume's reclaim policy MUST be its class's, and Delete when the class sets none.
pub(crate) const CASE: Case = Case::new("B05", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let unset = world.class("unset").create().await?;
    let delete = world
        .class("delete")
        .reclaim_policy("Delete")
        .create()
        .await?;
    let retain = world
        .class("retain")
        .reclaim_policy("Retain")
        .create()
        .await?;
    let claims = [
        (world.claim("unset").class(&unset).create().await?, "Delete"),
        (
            world.claim("delete").class(&delete).create().await?,
            "Delete",
        ),
        (
            world.claim("retain").class(&retain).create().await?,
            "Retain",
        ),
    ];
    for (claim, policy) in &claims {
        let volume = claim.bound().await?;
        if *policy == "Retain" {
            volume.expect_left()?;
        }
        volume.existing_directory().await?;
        let given = volume.spec().persistent_volume_reclaim_policy;
        let what = format!("the reclaim policy of the volume of claim {}", claim.name());
        ensure_eq(&what, &given.as_deref(), &Some(*policy))?;
    }
    Ok(())
}

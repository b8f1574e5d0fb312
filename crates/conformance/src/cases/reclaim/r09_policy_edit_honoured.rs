//! Source: persistent volumes documentation (an admin changes a volume's reclaim policy); the
//! end-to-end tests that do so.

use serde_json::json;

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::volume::Volume;

/// The reclaim policy that a volume has when its claim is deleted MUST be obeyed, whatever it was
/// before and whatever the class says.
pub(crate) const CASE: Case = Case::new("R09", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
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
    let kept = world.claim("kept").class(&delete).create().await?;
    let back = world
        .claim("there-and-back")
        .class(&delete)
        .create()
        .await?;
    let freed = world.claim("freed").class(&retain).create().await?;

    let volume = kept.bound().await?;
    volume.expect_left()?;
    let directory = volume.existing_directory().await?;
    let data = world.fill(&directory).await?;
    set_policy(&volume, "Retain").await?;
    kept.delete_and_wait().await?;
    volume.stays_released().await?;

    // Deleted after it, and reclaimed: edited back, and edited against the class.
    for (claim, policies) in [(back, &["Retain", "Delete"][..]), (freed, &["Delete"])] {
        let volume = claim.bound().await?;
        let directory = volume.existing_directory().await?;
        world.fill(&directory).await?;
        for policy in policies {
            set_policy(&volume, policy).await?;
        }
        claim.delete_and_wait().await?;
        volume.gone().await?;
        world.nothing_at(&directory).await?;
    }

    volume.stays_released().await?;
    world.unchanged(&directory, &data).await
}

async fn set_policy(volume: &Volume<'_>, policy: &str) -> CaseResult {
    volume
        .patch(json!({"spec": {"persistentVolumeReclaimPolicy": policy}}))
        .await
        .map(drop)
}

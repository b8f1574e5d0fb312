//! Source: volume-provisioning proposal, step 4; nfs-subdir-external-provisioner (which parses the
//! value only when it deletes).

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;

/// A value of `archiveOnDelete` that is no boolean SHOULD give an error event, at provisioning or
/// at deletion, and MUST NOT lose data.
pub(crate) const CASE: Case = Case::new("P02", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("maybe").without_parameter("onDelete");
    let class = class.parameter("archiveOnDelete", "maybe").create().await?;
    let claim = world.claim("maybe").class(&class).create().await?;
    let sound = world.class("plain").create().await?;
    world.control(&sound).await?.existing_directory().await?;

    match claim.bound_or_refused().await? {
        None => claim.not_served().await,
        Some(volume) => refused_at_deletion(world, &claim, &volume).await,
    }
}

async fn refused_at_deletion(world: &World, claim: &Claim<'_>, volume: &Volume<'_>) -> CaseResult {
    volume.expect_left()?;
    let directory = volume.existing_directory().await?;
    let data = world.fill(&directory).await?;
    claim.delete_and_wait().await?;
    let uid = volume.object.metadata.uid.clone().unwrap_or_default();
    world.event(&uid, "Warning", "VolumeFailedDelete").await?;
    world.unchanged(&directory, &data).await
}

//! Source: nfs-subdir-external-provisioner, README (`onDelete` retain).

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::export::archive_of;

/// With `onDelete` `retain` the directory MUST stay in place with its content, and the volume object
/// go.
pub(crate) const CASE: Case = Case::new("R05", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("retain").reclaim_policy("Delete");
    let class = class
        .without_parameter("archiveOnDelete")
        .parameter("onDelete", "retain");
    let class = class.create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let data = world.fill(&directory).await?;
    world.expect_directory_left(&directory);
    claim.delete_and_wait().await?;
    // The end of the volume object is the control: the deletion was handled.
    volume.gone().await?;
    world.unchanged(&directory, &data).await?;
    world.nothing_at(&archive_of(&directory)).await
}

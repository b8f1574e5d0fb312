//! Source: csi-test sanity (deleting what is gone succeeds); nfs-subdir-external-provisioner.

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A volume whose directory is already gone MUST be deleted like any other, with nothing made in
/// its place and nothing else touched.
pub(crate) const CASE: Case = Case::new("R07", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("plain")
        .reclaim_policy("Delete")
        .create()
        .await?;
    let control = world.control(&class).await?.existing_directory().await?;
    let data = world.fill(&control).await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    world.export().remove_tree(&directory).await?;
    world.nothing_at(&directory).await?;
    world.mark("export", format!("{directory} removed by the case"));

    claim.delete_and_wait().await?;
    volume.gone().await?;
    world.nothing_at(&directory).await?;
    world.unchanged(&control, &data).await
}

//! Source: volume-provisioning proposal, deletion (the storage is deleted, and only then the volume
//! object).

use super::hold::Hold;
use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;

/// With policy Delete, once the claim is gone, the directory MUST be removed, and only then the
/// volume object.
pub(crate) const CASE: Case = Case::new("R01", |world| Box::pin(run(world)));

/// Enough that the removal takes longer than the news of the volume's end.
const FILES: usize = 40;

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("plain")
        .reclaim_policy("Delete")
        .create()
        .await?;
    let held = world.claim("held").class(&class).create().await?;
    let plain = world.claim("plain").class(&class).create().await?;

    held_volume(world, &held).await?;
    full_directory(world, &plain).await
}

/// A volume object that cannot be deleted: its directory goes nevertheless, so it goes first.
async fn held_volume(world: &World, claim: &Claim<'_>) -> CaseResult {
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    world.fill(&directory).await?;
    let hold = Hold::on(world, &volume.name()).await?;
    let judged = directory_goes_first(world, claim, &volume, &directory).await;
    hold.release().await?;
    judged?;
    volume.gone().await?;
    world.nothing_at(&directory).await
}

/// One that can be deleted: when its end is seen, nothing of a full directory is left.
async fn full_directory(world: &World, claim: &Claim<'_>) -> CaseResult {
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    for file in 0..FILES {
        let path = format!("{directory}/file-{file}");
        world.export().write(&path, b"content\n").await?;
    }
    claim.delete_and_wait().await?;
    volume.gone().await?;
    world.nothing_at(&directory).await
}

/// The directory goes while the volume object, whose deletion is refused, is still there.
async fn directory_goes_first(
    world: &World,
    claim: &Claim<'_>,
    volume: &Volume<'_>,
    directory: &str,
) -> CaseResult {
    claim.delete_and_wait().await?;
    world.removed(directory, Limit::VolumeReclaimed).await?;
    let expected = format!("volume {} outlives its directory", volume.name());
    match volume.now().await? {
        None => Err(Trouble::failed(expected, "the volume is gone")),
        Some(now) => ensure(now.metadata.deletion_timestamp.is_none(), expected, || {
            "the volume was being deleted before its directory was gone".to_owned()
        }),
    }
}

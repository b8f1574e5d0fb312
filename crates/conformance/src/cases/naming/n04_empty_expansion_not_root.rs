//! Source: nfs-subdir-external-provisioner #83 (a pattern without a value made the whole export the
//! volume, and deleting the claim deleted everybody's data).

use serde_json::json;

use crate::case::Case;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::volume::Volume;

/// A pattern that expands to nothing MUST never make the export's root the volume: the claim gets
/// another directory, or is refused with an event.
pub(crate) const CASE: Case = Case::new("N04", |world| Box::pin(run(world)));

const PATTERN: &str = "${.PVC.annotations.nfs.io/storage-path}";

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("annotated")
        .parameter("pathPattern", &world.pattern(PATTERN))
        .create()
        .await?;
    let claim = world.claim("nowhere").class(&class).create().await?;
    let named = world.claim("control").class(&class);
    let named = named.annotation(
        "nfs.io/storage-path",
        &format!("{}-named", world.namespace()),
    );
    let control = named
        .create()
        .await?
        .bound()
        .await?
        .existing_directory()
        .await?;
    let data = world.fill(&control).await?;

    if let Some(volume) = claim.bound_or_refused().await? {
        below_the_root(world, &volume).await?;
        let directory = volume.existing_directory().await?;
        world.fill(&directory).await?;
        claim.delete_and_wait().await?;
        volume.gone().await?;
    } else {
        claim.not_served().await?;
        claim.delete_and_wait().await?;
    }
    world.unchanged(&control, &data).await
}

/// Fails when the volume is the export's root; its claim is then not to be deleted as it is, or the
/// data of every case beside this one would go with it.
async fn below_the_root(world: &World, volume: &Volume<'_>) -> CaseResult {
    if !world.is_root(&volume.directory()?) {
        return Ok(());
    }
    world.tracker.track(Tracked::Object {
        kind: Kind::Volume,
        namespace: String::new(),
        name: volume.name(),
    });
    volume
        .patch(json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}))
        .await?;
    Err(Trouble::failed(
        format!(
            "volume {} has a directory below the export's root",
            volume.name()
        ),
        "its source is the root of the export",
    ))
}

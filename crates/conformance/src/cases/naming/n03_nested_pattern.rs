//! Source: nfs-subdir-external-provisioner #91, #127, #167, #272, #347 (delete and archive looked
//! for a nested directory by its last component).

use k8s_openapi::api::storage::v1::StorageClass;

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::export::archive_of;
use crate::world::volume::Volume;

/// A pattern with slashes MUST have its parents made, and delete and archive MUST act on the full
/// path and on nothing beside it.
pub(crate) const CASE: Case = Case::new("N03", |world| Box::pin(run(world)));

/// The last component bears the namespace too: an archive at the root is then known as this case's.
const PATTERN: &str = "${.PVC.namespace}/${.PVC.labels.team}/${.PVC.namespace}-${.PVC.name}";

async fn run(world: &World) -> CaseResult {
    let nested = |label: &str, archive: &str| {
        let class = world
            .class(label)
            .parameter("pathPattern", &world.pattern(PATTERN));
        let class = class.without_parameter("onDelete");
        if world.subject().declares(Feature::Archive) {
            class.parameter("archiveOnDelete", archive)
        } else {
            class
        }
    };
    let delete = nested("delete", "false").create().await?;
    for place in world.places_for(world.namespace()) {
        world.expect_directory_left(&place);
    }
    let sibling = volume_at(world, "sibling", &delete).await?;
    let sibling_directory = sibling.directory()?;
    let sibling_data = world.fill(&sibling_directory).await?;

    let doomed = volume_at(world, "doomed", &delete).await?;
    let directory = doomed.directory()?;
    world.fill(&directory).await?;
    delete_claim(world, &doomed).await?;
    world.nothing_at(&directory).await?;
    world.nothing_at(&archive_of(&directory)).await?;

    if world.subject().declares(Feature::Archive) {
        let archive = nested("archive", "true").create().await?;
        let volume = volume_at(world, "archived", &archive).await?;
        let directory = volume.directory()?;
        let data = world.fill(&directory).await?;
        delete_claim(world, &volume).await?;
        world.nothing_at(&directory).await?;
        let archived = found_archive(world, &directory).await?;
        world.unchanged(&archived, &data).await?;
    }
    world.unchanged(&sibling_directory, &sibling_data).await
}

/// A bound volume of a new claim `name`, at the place that the pattern gives.
async fn volume_at<'w>(
    world: &'w World,
    name: &str,
    class: &StorageClass,
) -> CaseResult<Volume<'w>> {
    let claim = world
        .claim(name)
        .class(class)
        .label("team", "red")
        .create()
        .await?;
    let volume = claim.bound().await?;
    let namespace = world.namespace();
    let wanted = format!("{namespace}/red/{namespace}-{name}");
    let directory = volume.directory()?;
    ensure_eq(
        &format!("the directory of claim {name}"),
        &world.own_path(&directory),
        &wanted,
    )?;
    volume.existing_directory().await?;
    Ok(volume)
}

async fn delete_claim(world: &World, volume: &Volume<'_>) -> CaseResult {
    world
        .adopt_claim(volume.claim.clone())
        .delete_and_wait()
        .await?;
    volume.gone().await
}

/// Beside the directory or at the export's root: which of the two is the subject's choice here.
async fn found_archive(world: &World, directory: &str) -> CaseResult<String> {
    let beside = archive_of(directory);
    let own = world.own_path(directory);
    let base = own.rsplit_once('/').map_or(own, |(_, base)| base);
    // On a node, the node's own root.
    let node = directory.strip_suffix(own).unwrap_or_default();
    let at_root = format!("{node}{}", archive_of(base));
    let mut found = Vec::new();
    for place in [&beside, &at_root] {
        if world.export().stat(place).await?.is_some() {
            world.expect_directory_left(place);
            found.push(place.clone());
        }
    }
    match <[String; 1]>::try_from(found) {
        Ok([archive]) => Ok(archive),
        Err(found) => Err(Trouble::failed(
            format!("{directory} is archived once, as {beside} or {at_root}"),
            format!(
                "found {}",
                if found.is_empty() {
                    "neither".into()
                } else {
                    found.join(", ")
                }
            ),
        )),
    }
}

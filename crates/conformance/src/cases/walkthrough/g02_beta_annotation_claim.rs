//! Source: walkthrough step 2.

use kube::ResourceExt;

use super::{class, directory_name, test_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A claim that names its class by the beta annotation MUST be bound to a volume `pvc-<uid>` with
/// what it asked for, on exactly one directory.
pub(crate) const CASE: Case = Case::step("G02", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "managed-nfs-storage").await?;
    let claim = test_claim(world, &class).await?;
    let volume = claim.bound().await?;
    ensure_eq(
        "the volume's name",
        &volume.name(),
        &format!("pvc-{}", claim.uid()),
    )?;
    let spec = volume.spec();
    let capacity = spec
        .capacity
        .unwrap_or_default()
        .remove("storage")
        .unwrap_or_default();
    ensure_eq("the capacity", &capacity.0, &"100Mi")?;
    ensure_eq(
        "the access modes",
        &spec.access_modes.unwrap_or_default(),
        &["ReadWriteMany"],
    )?;
    ensure_eq(
        "the class",
        &spec.storage_class_name.unwrap_or_default(),
        &class.name_any(),
    )?;

    let directory = volume.existing_directory().await?;
    ensure_eq("the directory", &directory, &directory_name(world, &volume))?;
    let entries = world.export().list("").await?;
    let ours: Vec<_> = entries
        .iter()
        .filter(|entry| entry.contains(&claim.uid()))
        .collect();
    ensure_eq("the directories of the claim", &ours, &[&directory])
}

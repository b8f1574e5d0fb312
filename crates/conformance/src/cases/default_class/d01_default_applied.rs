//! Source: Kubernetes documentation, storage classes, "Default StorageClass"; the admission plug-in
//! `DefaultStorageClass` acts on the creation of a claim whose class is unset.

use kube::ResourceExt;

use super::class_of;
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A claim without a class MUST be given the default class at its creation, and be served by it.
pub(crate) const CASE: Case = Case::exclusive("D01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    world.without_default_class().await?;
    let class = world.class("default").create().await?;
    world.make_default(&class).await?;
    world.new_claims_get(Some(&class)).await?;

    let name = class.name_any();
    let claim = world.claim("classless").create().await?;
    ensure_eq(
        "the class in the answer to the creation",
        &class_of(&claim.object),
        &Some(&name),
    )?;
    let volume = claim.bound().await?;
    volume.existing_directory().await?;
    ensure_eq(
        "the class of the bound claim",
        &class_of(&volume.claim),
        &Some(&name),
    )?;
    let of_volume = volume.spec().storage_class_name;
    ensure_eq(
        "the class of its volume",
        &of_volume.as_deref(),
        &Some(&name),
    )
}

//! Source: KEP-3333 (retroactive default class): the claim then goes the way of any other.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;

use super::{assigned, class_of, waiting_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A claim that was given a default class later MUST be provisioned by it and Bound.
pub(crate) const CASE: Case = Case::exclusive("D05", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let claim = waiting_claim(world).await?;
    let class = world.class("late").create().await?;
    world.make_default(&class).await?;
    assigned(world, &claim, &class).await?;

    let volume = claim.bound().await?;
    volume.existing_directory().await?;
    let name = class.name_any();
    ensure_eq(
        "the class of the bound claim",
        &class_of(&volume.claim),
        &Some(&name),
    )?;
    let spec = volume.spec();
    ensure_eq(
        "the class of its volume",
        &spec.storage_class_name.as_deref(),
        &Some(&name),
    )?;
    let ObjectReference { uid, .. } = spec.claim_ref.unwrap_or_default();
    ensure_eq("claimRef.uid", &uid, &Some(claim.uid()))
}

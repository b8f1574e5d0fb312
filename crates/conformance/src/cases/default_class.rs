//! The default class: given to claims without a class at their creation, or to waiting ones later.
//!
//! Every case runs alone, and begins by suspending whatever default there is.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::default_class::IS_DEFAULT;

mod d01_default_applied;
mod d02_default_annotation_false;
mod d03_default_annotation_removed;
mod d04_retroactive_assignment;
mod d05_retroactive_bind;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    d01_default_applied::CASE,
    d02_default_annotation_false::CASE,
    d03_default_annotation_removed::CASE,
    d04_retroactive_assignment::CASE,
    d05_retroactive_bind::CASE,
];

/// The class a claim names in its specification.
fn class_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.storage_class_name.as_deref()
}

/// A class that is the default loses its mark: the annotation gets `value`, or is removed. A claim
/// made after that without a class stays without one, and nothing is provisioned for it.
async fn without_mark_no_class(world: &World, value: Option<&str>) -> CaseResult {
    world.without_default_class().await?;
    let class = world.class("unmarked").create().await?;
    // It counted once: what follows is the doing of the annotation, not of a class nobody knows.
    world.make_default(&class).await?;
    world.new_claims_get(Some(&class)).await?;
    let patch = json!({"metadata": {"annotations": {IS_DEFAULT: value}}});
    let classes = world.cluster_api::<StorageClass>();
    classes
        .patch(
            &class.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
    world.new_claims_get(None).await?;

    let claim = world.claim("classless").create().await?;
    ensure_eq(
        "the class of the new claim",
        &class_of(&claim.object),
        &None::<&str>,
    )?;
    world.event(&claim.uid(), "Normal", "FailedBinding").await?;
    world.control(&class).await?.existing_directory().await?;
    claim.still_pending().await?;
    let now = claim.now().await?.unwrap_or_default();
    ensure_eq(
        "the class of the waiting claim",
        &class_of(&now),
        &None::<&str>,
    )?;
    claim.has_no_volume_or_directory().await
}

/// A claim without a class that the control plane has looked at, and that waits.
async fn waiting_claim(world: &World) -> CaseResult<Claim<'_>> {
    world.without_default_class().await?;
    world.new_claims_get(None).await?;
    let claim = world.claim("classless").create().await?;
    ensure_eq(
        "the class of the new claim",
        &class_of(&claim.object),
        &None::<&str>,
    )?;
    world.event(&claim.uid(), "Normal", "FailedBinding").await?;
    claim.still_pending().await?;
    Ok(claim)
}

/// Waits until the waiting `claim` is given `class`, and is the same claim still.
async fn assigned(world: &World, claim: &Claim<'_>, class: &StorageClass) -> CaseResult {
    let (name, uid, class) = (claim.name(), claim.uid(), class.name_any());
    let what = format!("claim {name} is given class {class}");
    let judge = |now: Option<&PersistentVolumeClaim>| {
        let now = now.filter(|now| class_of(now) == Some(&class))?;
        Some(now.uid().unwrap_or_default())
    };
    let now = world
        .eventually(&name, what, Limit::RetroactiveDefault, judge)
        .await?;
    ensure_eq("the UID of the claim", &now, &uid)
}

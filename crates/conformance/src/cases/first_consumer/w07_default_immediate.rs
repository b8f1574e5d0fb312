//! Source: the API's type StorageClass: an unset `volumeBindingMode` means Immediate.

use super::selected_node;
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A class without a binding mode MUST serve a claim at once, without a pod. A subject that serves
/// claims only once a node is selected fails it, whatever mode its own classes name: users leave the
/// mode unset.
pub(crate) const CASE: Case = Case::new("W07", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("unset").without_binding_mode().create().await?;
    let mode = class.volume_binding_mode.as_deref();
    ensure_eq("the binding mode of the class", &mode, &Some("Immediate"))?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    volume.existing_directory().await?;
    ensure_eq(
        "the claim's selected node",
        &selected_node(&volume.claim),
        &None::<&str>,
    )
}

//! Source: Kubernetes documentation, storage classes, "Volume Binding Mode".

use super::{WAIT, selected_node};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// A pod that uses a waiting claim MUST make it provisioned for the pod's node, Bound, and the pod
/// MUST then run there.
pub(crate) const CASE: Case = Case::new("W02", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("delayed").binding_mode(WAIT).create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    world.event(&claim.uid(), "Normal", WAIT).await?;
    claim.still_pending().await?;

    world.pod("consumer", &["data"]).await?;
    let volume = claim.bound().await?;
    volume.existing_directory().await?;
    let selected = selected_node(&volume.claim);
    ensure(
        selected.is_some(),
        "the bound claim names a selected node",
        || {
            format!(
                "its annotations are {:?}",
                volume.claim.metadata.annotations
            )
        },
    )?;
    let pod = world.pod_ready("consumer").await?;
    let node = pod.spec.and_then(|spec| spec.node_name);
    ensure_eq("the pod's node", &node.as_deref(), &selected)?;
    let claim_ref = volume.spec().claim_ref.unwrap_or_default();
    ensure_eq("claimRef.uid", &claim_ref.uid, &Some(claim.uid()))
}

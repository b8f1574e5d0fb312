//! Source: sig-storage-lib-external-provisioner: with delayed binding a claim is taken only once
//! the scheduler has named a node, whatever its provisioner annotation says.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::{SELECTED_NODE, WAIT};
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;

/// With delayed binding the subject MUST act only once the claim names a selected node.
pub(crate) const CASE: Case = Case::new("W05", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let delayed = world.class("delayed").binding_mode(WAIT).create().await?;
    // The subject's own binding mode: some can serve no other.
    let served = world.class("served").create().await?;
    // The controller-manager hands a claim over only after a node is selected, so the case does it.
    let provisioner = &world.subject().provisioner;
    let claim = world
        .claim("data")
        .class(&delayed)
        .handed_to(provisioner)
        .create()
        .await?;
    world.event(&claim.uid(), "Normal", WAIT).await?;

    world.control(&served).await?.existing_directory().await?;
    claim.still_pending().await?;
    claim.has_no_volume_or_directory().await?;

    // The same claim with a node is served: nothing else held it back.
    let nodes = world
        .cluster_api::<Node>()
        .list(&ListParams::default())
        .await?;
    let node = nodes.iter().find(|node| is_schedulable(node));
    let node = node.map(ResourceExt::name_any);
    let node = node.ok_or_else(|| Trouble::inconclusive("the cluster has no node for pods"))?;
    claim
        .patch(json!({"metadata": {"annotations": {SELECTED_NODE: node}}}))
        .await?;
    world.mark("claim data", format!("node {node} selected"));
    claim.bound().await?.existing_directory().await.map(drop)
}

/// Whether the scheduler might select the node for a plain pod: a control plane is tainted.
fn is_schedulable(node: &Node) -> bool {
    let spec = node.spec.as_ref();
    spec.is_none_or(|spec| {
        spec.taints.as_ref().is_none_or(Vec::is_empty) && spec.unschedulable != Some(true)
    })
}

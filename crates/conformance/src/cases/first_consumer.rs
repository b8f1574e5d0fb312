//! Delayed binding: a class with `WaitForFirstConsumer` provisions for a pod, not for a claim.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::case::Case;

mod w01_no_pod_no_volume;
mod w02_pod_triggers;
mod w05_selected_node_required;
mod w07_default_immediate;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    w01_no_pod_no_volume::CASE,
    w02_pod_triggers::CASE,
    w05_selected_node_required::CASE,
    w07_default_immediate::CASE,
];

/// The annotation by which the scheduler tells the node of the first pod.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The binding mode of most of these cases; also the reason of the event about a waiting claim.
const WAIT: &str = "WaitForFirstConsumer";

fn selected_node(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.annotations().get(SELECTED_NODE).map(String::as_str)
}

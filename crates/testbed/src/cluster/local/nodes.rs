//! Simulated nodes: kwok plays the kubelet of nodes that do not exist.

use camino::Utf8Path;
use serde_json::{Value, json};

use super::layout::Layout;
use crate::process::Spec;

/// What a simulated pod and node go through.
pub(super) const STAGES: &str = include_str!("nodes/stages.yaml");
/// Addresses of pods; each pod has one of its own.
const POD_RANGE: &str = "10.244.0.0/16";
/// Annotation of the nodes that kwok plays.
const FAKE: (&str, &str) = ("kwok.x-k8s.io/node", "fake");
/// How long a node's lease holds without renewal, in seconds: the kubelet's own default.
const LEASE_SECONDS: u32 = 40;

/// kwok, as the kubelet of all nodes marked for it.
pub(super) fn spec(layout: &Layout<'_>, kubeconfig: &Utf8Path, stages: &Utf8Path) -> Spec {
    let (key, value) = FAKE;
    let args = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--config={stages}"),
        format!("--manage-nodes-with-annotation-selector={key}={value}"),
        format!("--cidr={POD_RANGE}"),
        "--node-ip=127.0.0.1".to_owned(),
        format!("--node-lease-duration-seconds={LEASE_SECONDS}"),
        "--v=WARN".to_owned(),
    ];
    layout.spec("kwok", &layout.options.binaries.kwok, args)
}

/// Name of the node with the given number.
pub(super) fn name(number: usize) -> String {
    format!("node-{number}")
}

/// The Node object with the given number, each in a zone of its own.
pub(super) fn manifest(number: usize) -> Value {
    let (key, value) = FAKE;
    let name = name(number);
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": { key: value },
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": go_architecture(std::env::consts::ARCH),
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": format!("zone-{number}"),
            },
        },
    })
}

/// Kubernetes' name of a processor architecture, which is Go's.
fn go_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{HOLD_READY, HOLD_TERMINATION};

    #[test]
    fn the_stages_know_the_holds() {
        assert!(STAGES.contains(HOLD_READY));
        assert!(STAGES.contains(HOLD_TERMINATION));
    }
}

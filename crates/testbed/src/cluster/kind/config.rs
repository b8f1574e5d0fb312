//! The configuration that kind is given.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::plan::{Plan, PlannedNode};
use crate::cluster::ClusterError;

/// What kubeadm is told beside what kind tells it.
const KUBEADM: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/kubeadm.yaml"
));
/// What a kubelet is told on cgroup v1.
const KUBELET_CGROUP_V1: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/kubelet-cgroup-v1.yaml"
));
/// What containerd is told where out-of-memory scores cannot be lowered.
const CONTAINERD_OOM: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/containerd-oom.toml"
));
/// What stands in place of kind's default storage class.
pub(super) const DEFAULT_STORAGE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/default-storage.yaml"
));
/// Addresses of pods.
pub(super) const POD_SUBNET: &str = "10.244.0.0/16";
/// Where nodes find the program that mounts NFS in user space.
pub(super) const PROGRAM_DIRECTORY: &str = "/opt/claimcheck";
/// Where kind looks for the manifest of its storage class.
const STORAGE_MANIFEST: &str = "/kind/manifests/default-storage.yaml";
/// The first minor version of Kubernetes whose kube-proxy has nftables without a feature gate.
const NFTABLES_SINCE: u32 = 31;
/// The first minor version whose kubelet knows `failCgroupV1`.
const FAIL_CGROUP_V1_SINCE: u32 = 31;

/// What the configuration depends on beside the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// Minor version of Kubernetes: 36.
    pub(super) minor: u32,
    /// Whether Docker runs on cgroup v1.
    pub(super) cgroup_v1: bool,
    /// Whether no process can lower an out-of-memory score.
    pub(super) bounded_oom_scores: bool,
}

/// Paths that nodes are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// The path in each node of its own directory.
    pub(super) node_directory: Utf8PathBuf,
    /// The directory of this machine with the program that mounts NFS.
    pub(super) program_directory: Utf8PathBuf,
    /// The file of this machine that stands in place of kind's default storage class.
    pub(super) storage_manifest: Utf8PathBuf,
}

/// The minor version in a version of Kubernetes such as `v1.36.3`.
///
/// # Errors
/// It is none.
pub(super) fn minor_version(version: &str) -> Result<u32, ClusterError> {
    let minor = version
        .strip_prefix("v1.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|minor| minor.parse().ok());
    minor.ok_or_else(|| {
        ClusterError::Unfit(format!(
            "`{version}` is no version of Kubernetes; write it as `v1.36.3`"
        ))
    })
}

/// kind's configuration: JSON, which is YAML too, so that no path needs quoting of its own.
pub(super) fn render(plan: &Plan, facts: Facts, given: &Given) -> String {
    let mut patches: Vec<&str> = KUBEADM.split("\n---\n").collect();
    if facts.cgroup_v1 && facts.minor >= FAIL_CGROUP_V1_SINCE {
        patches.push(KUBELET_CGROUP_V1);
    }
    let mut config = json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "apiServerAddress": "127.0.0.1",
            "disableDefaultCNI": true,
            "ipFamily": "ipv4",
            "kubeProxyMode": if facts.minor >= NFTABLES_SINCE { "nftables" } else { "iptables" },
            "podSubnet": POD_SUBNET,
        },
        "kubeadmConfigPatches": patches,
        "nodes": plan.nodes.iter().enumerate().map(|(index, one)| node(index, one, given)).collect::<Vec<_>>(),
    });
    if facts.bounded_oom_scores {
        config["containerdConfigPatches"] = json!([CONTAINERD_OOM]);
    }
    format!("{config:#}\n")
}

fn node(index: usize, node: &PlannedNode, given: &Given) -> Value {
    let mut mounts = vec![
        mount(&node.directory, given.node_directory.as_str(), false),
        mount(&given.program_directory, PROGRAM_DIRECTORY, true),
    ];
    if node.control_plane {
        mounts.push(mount(&given.storage_manifest, STORAGE_MANIFEST, true));
    }
    json!({
        "role": if node.control_plane { "control-plane" } else { "worker" },
        "labels": {
            "topology.kubernetes.io/region": "local",
            "topology.kubernetes.io/zone": format!("zone-{index}"),
        },
        "extraMounts": mounts,
    })
}

fn mount(here: &Utf8Path, there: &str, read_only: bool) -> Value {
    json!({ "hostPath": here, "containerPath": there, "readOnly": read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            node_directory: "/opt/volumes".into(),
            program_directory: "/bed/program".into(),
            storage_manifest: "/bed/default-storage.yaml".into(),
        }
    }

    fn rendered(facts: Facts) -> Value {
        let plan = Plan::new("one", Utf8Path::new("/bed"), 2);
        serde_json::from_str(&render(&plan, facts, &given())).unwrap()
    }

    #[test]
    fn the_configuration_for_an_old_kernel_and_few_rights_is_this() {
        let plan = Plan::new("one", Utf8Path::new("/bed"), 1);
        let facts = Facts {
            minor: 36,
            cgroup_v1: true,
            bounded_oom_scores: true,
        };
        let mut config: Value = serde_json::from_str(&render(&plan, facts, &given())).unwrap();
        let config = config.as_object_mut().unwrap();
        let patches = config.remove("kubeadmConfigPatches").unwrap();
        assert_eq!(patches.as_array().unwrap().len(), 3);
        assert_eq!(patches[2], KUBELET_CGROUP_V1);
        let containerd = config.remove("containerdConfigPatches").unwrap();
        assert_eq!(containerd, json!([CONTAINERD_OOM]));
        let golden: Value = serde_json::from_str(include_str!("testdata/config.json")).unwrap();
        assert_eq!(&golden, &Value::Object(config.clone()));
    }

    #[test]
    fn what_a_common_machine_needs_no_remedy_for_is_left_out() {
        let config = rendered(Facts {
            minor: 36,
            cgroup_v1: false,
            bounded_oom_scores: false,
        });
        assert_eq!(config["containerdConfigPatches"], Value::Null);
        let patches = config["kubeadmConfigPatches"].as_array().unwrap();
        assert_eq!(patches.len(), 2);
        assert!(patches.iter().all(|patch| {
            patch
                .as_str()
                .unwrap()
                .contains("\nkind: ClusterConfiguration\n")
        }));
        assert_eq!(config["nodes"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn older_versions_are_not_told_what_they_do_not_know() {
        let config = rendered(Facts {
            minor: 30,
            cgroup_v1: true,
            bounded_oom_scores: false,
        });
        assert_eq!(config["networking"]["kubeProxyMode"], "iptables");
        assert_eq!(config["kubeadmConfigPatches"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn every_patch_is_one_document() {
        for patch in KUBEADM.split("\n---\n").chain([KUBELET_CGROUP_V1]) {
            let value: Value = serde_saphyr::from_str(patch).unwrap();
            assert!(value["apiVersion"].is_string() && value["kind"].is_string());
        }
    }

    #[test]
    fn the_minor_version_is_read_and_nonsense_is_refused() {
        assert_eq!(minor_version("v1.36.3").unwrap(), 36);
        assert_eq!(minor_version("v1.31.0-rc.1").unwrap(), 31);
        assert!(minor_version("1.36").is_err());
        assert!(minor_version("v1.x").is_err());
    }
}

//! The state of a testbed on disk: what is running, where, and who owns it.
//!
//! One directory per testbed below the state root (`clusters/NAME/`). Its first file is `owner`,
//! written before any process is started, so that a crash at any later moment leaves something that
//! the next command can recognise and sweep. `state.json` follows once the testbed is up.

use std::net::{IpAddr, SocketAddr};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

pub use owner::Owner;
pub use store::StateError;
#[cfg(feature = "local")]
pub use sweep::containers::mark_docker;
#[cfg(feature = "kind")]
pub(crate) use sweep::containers::{remove_containers, remove_nodes};
#[cfg(feature = "local")]
pub(crate) use sweep::makers::arguments;
#[cfg(feature = "kind")]
pub(crate) use sweep::makers::{UnderWay, makes};
#[cfg(feature = "local")]
pub use sweep::{MARK, Swept, end, marked, remove_directory, sweep_dead};

mod owner;
mod store;
#[cfg(feature = "local")]
mod sweep;

/// A running testbed, as `state.json` in its directory holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The testbed's name, a DNS label.
    pub name: String,
    /// The process whose end ends the testbed.
    pub owner: Owner,
    /// The testbed's directory, removed by `down`.
    pub directory: Utf8PathBuf,
    /// Where the logs of its processes are, kept after `down`.
    pub logs: Utf8PathBuf,
    /// A file locked shared by cases, and exclusively by those that change the default class.
    pub case_lock: Utf8PathBuf,
    /// The control plane.
    pub cluster: ClusterInfo,
    /// The export that the subject serves claims on.
    pub export: ExportInfo,
    /// The subject under test.
    pub subject: SubjectState,
    /// Every process started for the testbed, in the order of their start.
    pub children: Vec<ChildRecord>,
    /// How long each stage took.
    pub timings: Timings,
}

/// The control plane of a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Kind of cluster: `local` or `kind`.
    pub kind: String,
    /// Version of Kubernetes, such as `v1.36.3`.
    pub kubernetes: String,
    /// What the cluster can show: `cp` (control plane), `dn` (DNS), `nd` (real nodes), `fi` (faults).
    pub modes: Vec<String>,
    /// A kubeconfig file with all rights.
    pub kubeconfig: Utf8PathBuf,
    /// Where the cluster's DNS answers, over UDP and TCP.
    pub dns: Option<SocketAddr>,
    /// The DNS zone of the cluster, without a final dot: `cluster.local`.
    pub zone: String,
    /// Its real nodes; empty where nodes are simulated.
    #[serde(default)]
    pub nodes: Vec<NodeInfo>,
    /// How its nodes mount NFS; `None` where nodes are simulated.
    #[serde(default)]
    pub mounts: Option<NfsMounts>,
}

/// A real node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfo {
    /// Its name in the cluster.
    pub name: String,
    /// Name of its container, as `docker exec` takes it.
    pub container: String,
    /// Its address on the cluster's network.
    pub address: IpAddr,
    /// Whether it runs the control plane; pods of cases do not go there.
    pub control_plane: bool,
    /// The directory of this machine that the node has at the path which the subject's layout names,
    /// for subjects that keep volumes on the nodes.
    pub directory: Utf8PathBuf,
}

/// How nodes mount NFS volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NfsMounts {
    /// By the kernel's client.
    Kernel,
    /// By the client in user space of `crates/nfs-mount`, since the kernel has none.
    UserSpace,
}

/// The export of a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportInfo {
    /// Host name or address of the server, as a volume's `nfs.server` has it.
    pub server: String,
    /// The exported path, as a volume's `nfs.path` has it: `/export`.
    pub path: String,
    /// The TCP port of NFS.
    pub port: u16,
    /// The TCP port of MOUNT (RFC 1813, appendix I); that of NFS for the embedded export.
    pub mount_port: u16,
    /// The exported directory on this machine.
    pub directory: Utf8PathBuf,
    /// The server's container, as `docker` takes it; `None` for the embedded export.
    #[serde(default)]
    pub container: Option<String>,
}

/// The subject that a testbed runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectState {
    /// The subject file; for a built-in subject its name.
    pub file: Utf8PathBuf,
    /// SHA-256 of the subject file's text, in lower-case hexadecimal.
    pub sha256: String,
    /// The name that the file gives.
    pub name: String,
    /// Version of the subject, when the file gives one.
    pub version: Option<String>,
    /// The provisioner's name, as in a class's `provisioner`.
    pub provisioner: String,
    /// Process of a process subject.
    pub pid: Option<u32>,
}

/// A process of a testbed, recognisable after its pid was used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildRecord {
    /// What it is: `etcd`, `kube-apiserver`, ...
    pub name: String,
    /// Process id, which is its process group's id too.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22 of proc(5)).
    pub start_time: u64,
}

/// How long the stages of `up` took, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Finding the tools.
    pub tools_ms: u64,
    /// Booting the cluster.
    pub boot_ms: u64,
    /// Starting the subject until it was ready.
    pub deploy_ms: u64,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A state to save and load, with a directory of its own.
    pub(crate) fn example(name: &str, directory: &camino::Utf8Path) -> State {
        State {
            name: name.to_owned(),
            owner: Owner::this_process().unwrap(),
            directory: directory.to_owned(),
            logs: directory.join("logs"),
            case_lock: directory.join("lock"),
            cluster: ClusterInfo {
                kind: "local".to_owned(),
                kubernetes: "v1.36.3".to_owned(),
                modes: vec!["cp".to_owned(), "dn".to_owned()],
                kubeconfig: directory.join("kubeconfig"),
                dns: Some(SocketAddr::from(([127, 0, 0, 1], 5353))),
                zone: "cluster.local".to_owned(),
                nodes: Vec::new(),
                mounts: None,
            },
            export: ExportInfo {
                server: "127.0.0.1".to_owned(),
                path: "/export".to_owned(),
                port: 2049,
                mount_port: 2049,
                directory: directory.join("export"),
                container: None,
            },
            subject: SubjectState {
                file: "reference".into(),
                sha256: String::new(),
                name: "reference".to_owned(),
                version: None,
                provisioner: "westos.org/nfs".to_owned(),
                pid: None,
            },
            children: Vec::new(),
            timings: Timings::default(),
        }
    }
}

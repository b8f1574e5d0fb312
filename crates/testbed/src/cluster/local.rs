//! The `local` cluster: a real control plane as plain processes on the loopback address, simulated
//! nodes, and CoreDNS. No root, no containers.
//!
//! etcd and the API server come first; controller-manager, scheduler, nodes and DNS start together
//! once the API is ready. All of it belongs to one directory, which the testbed removes.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use futures::future::{join_all, select_all};
use kube::Client;
use tracing::info;

use super::{Cluster, ClusterError, Died};
use crate::process::Child;
use crate::state::{ChildRecord, ClusterInfo};

mod apiserver;
mod boot;
mod controller_manager;
mod dns;
mod etcd;
mod kubeconfig;
mod layout;
mod nodes;
mod pki;
mod scheduler;
mod wait;

/// How often a boot is tried when another process takes a port between choice and use.
const BOOTS: usize = 3;
/// How long a process may take to end when the cluster goes down. Nothing of a cluster that is about
/// to be deleted is worth waiting for.
const GRACE: Duration = Duration::ZERO;

/// The programs of a local cluster.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct LocalBinaries {
    /// etcd.
    pub etcd: Utf8PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: Utf8PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: Utf8PathBuf,
    /// kube-scheduler.
    pub kube_scheduler: Utf8PathBuf,
    /// kwok, which plays the nodes.
    pub kwok: Utf8PathBuf,
    /// CoreDNS.
    pub coredns: Utf8PathBuf,
}

impl From<&crate::tools::ToolSet> for LocalBinaries {
    fn from(tools: &crate::tools::ToolSet) -> Self {
        use crate::tools::Tool;
        let path = |tool| tools.path(tool).to_owned();
        Self {
            etcd: path(Tool::Etcd),
            kube_apiserver: path(Tool::KubeApiserver),
            kube_controller_manager: path(Tool::KubeControllerManager),
            kube_scheduler: path(Tool::KubeScheduler),
            kwok: path(Tool::Kwok),
            coredns: path(Tool::Coredns),
        }
    }
}

/// What a local cluster is made of.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// The testbed's directory, absolute; it exists. Everything but the logs goes there.
    pub directory: Utf8PathBuf,
    /// Where the logs go, absolute.
    pub logs: Utf8PathBuf,
    /// The programs.
    pub binaries: LocalBinaries,
    /// Their version of Kubernetes, such as `v1.36.3`.
    pub kubernetes: String,
    /// How many nodes: `node-0`, `node-1`, ..., each in a zone of its own.
    pub nodes: usize,
    /// The executable that guards the children; `None` for the running one, whose `main` calls
    /// [`crate::process::guard_if_asked`].
    pub guard: Option<Utf8PathBuf>,
}

/// Flags of a cluster's programs beside its own; where both have one, these outweigh.
#[derive(Debug, Clone, Default)]
pub struct ExtraFlags {
    /// Of kube-apiserver: an audit log, for instance.
    pub kube_apiserver: Vec<String>,
    /// Of kube-controller-manager.
    pub kube_controller_manager: Vec<String>,
}

/// A local cluster that is up. Dropping it kills its processes.
pub struct LocalCluster {
    info: ClusterInfo,
    client: Client,
    children: Vec<Child>,
    stages: Vec<(&'static str, Duration)>,
}

impl LocalCluster {
    /// Boots a cluster and ends when claims can be made on it: API ready, nodes ready, the default
    /// `ServiceAccount` there, DNS answering.
    ///
    /// A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// A process dies or a stage takes too long; nothing of the cluster runs then. A process that
    /// found its port taken is no error until it happened three times.
    pub async fn up(options: &LocalOptions) -> Result<Self, ClusterError> {
        Self::up_with(options, &ExtraFlags::default()).await
    }

    /// The same with further flags.
    ///
    /// # Errors
    /// Those of [`LocalCluster::up`]; a flag that a program does not know ends it at once.
    pub async fn up_with(options: &LocalOptions, extra: &ExtraFlags) -> Result<Self, ClusterError> {
        let mut boots = 1;
        loop {
            match boot::boot(options, extra).await {
                Err(ClusterError::Died(died)) if died.for_want_of_its_port() && boots < BOOTS => {
                    info!(
                        process = died.process,
                        "a port was taken by another process, once more"
                    );
                    boots += 1;
                }
                result => return result,
            }
        }
    }

    /// A client with all rights, which does not retry by itself.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How long each stage of the boot took, in order.
    pub fn stages(&self) -> &[(&'static str, Duration)] {
        &self.stages
    }
}

impl fmt::Debug for LocalCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCluster")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Cluster for LocalCluster {
    fn describe(&self) -> ClusterInfo {
        self.info.clone()
    }

    fn children(&self) -> Vec<ChildRecord> {
        self.children
            .iter()
            .map(|child| child.record().clone())
            .collect()
    }

    async fn failed(&self) -> Died {
        first_death(&self.children).await
    }

    async fn down(self: Box<Self>) {
        stop_all(&self.children).await;
    }
}

/// Ends when the first of the children ends, with which one and how.
async fn first_death(children: &[Child]) -> Died {
    if children.is_empty() {
        return std::future::pending().await;
    }
    let (status, index, _) =
        select_all(children.iter().map(|child| Box::pin(child.exited()))).await;
    Died::of(&children[index], status)
}

/// Ends all children at once.
async fn stop_all(children: &[Child]) {
    join_all(children.iter().map(|child| child.stop(GRACE))).await;
}

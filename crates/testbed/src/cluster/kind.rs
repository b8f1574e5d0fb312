//! The `kind` cluster: real nodes in containers, made by kind as a tool, on a Docker network of the
//! testbed's own.
//!
//! kind is given a node image and told to bring no pod network and no storage class. The pod network
//! is the same on every image: each node gets a configuration for the standard CNI plugins and routes
//! to the pods of the other nodes. Everything is found again by name or label ([`crate::docker`]),
//! so that [`crate::state::sweep_dead`] removes what a dead owner left.

use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use futures::future::select_all;
use kube::Client;
use tracing::warn;

use super::{Cluster, ClusterError, Died};
use crate::process::Child;
use crate::state::{ChildRecord, ClusterInfo};

mod boot;
mod config;
mod create;
mod dns;
mod environment;
mod images;
mod logs;
mod mounts;
mod network;
mod plan;
mod pods;
mod script;
mod watch;

pub use network::DockerNetwork;

/// Where a node has the directory of this machine that is its own, unless the subject says otherwise.
pub const NODE_DIRECTORY: &str = "/var/claimcheck/node";

/// What a kind cluster is made of.
#[derive(Debug, Clone)]
pub struct KindOptions {
    /// The testbed's directory, absolute; it exists. Everything but the logs goes there.
    pub directory: Utf8PathBuf,
    /// Where the logs go, absolute.
    pub logs: Utf8PathBuf,
    /// The testbed's name ([`crate::artifacts::valid_name`]).
    pub name: String,
    /// The program kind.
    pub kind: Utf8PathBuf,
    /// The nodes' image, as Docker on this machine knows it.
    pub node_image: String,
    /// How many nodes beside the one of the control plane: 2 when nobody says otherwise.
    pub workers: usize,
    /// The image's version of Kubernetes, such as `v1.36.3`.
    pub kubernetes: String,
    /// The path in each node where it has `nodes/NODE` of the testbed's directory; `None` for
    /// [`NODE_DIRECTORY`].
    pub node_directory: Option<Utf8PathBuf>,
    /// The program that mounts NFS in user space, as `PROGRAM nfs-mount ...`: `claimcheck`.
    pub mount_program: Utf8PathBuf,
    /// The testbed's network.
    pub network: DockerNetwork,
    /// The executable that guards the children; `None` for the running one, whose `main` calls
    /// [`crate::process::guard_if_asked`].
    pub guard: Option<Utf8PathBuf>,
}

/// A kind cluster that is up.
///
/// Dropping it leaves its containers: they have no parent on this machine. [`Cluster::down`] removes
/// them, and so do [`crate::state::end`] and [`crate::state::sweep_dead`].
pub struct KindCluster {
    info: ClusterInfo,
    name: String,
    directory: Utf8PathBuf,
    logs: Utf8PathBuf,
    client: Client,
    /// One for each node, in the order of `info.nodes`: it ends when the node's container does.
    watches: Vec<Child>,
    stages: Vec<(&'static str, Duration)>,
}

impl KindCluster {
    /// Boots a cluster and ends when pods can be placed on all nodes and the cluster's DNS answers
    /// this machine. `told` hears of each stage.
    ///
    /// A process-wide rustls provider must be installed.
    ///
    /// # Errors
    /// kind or Docker fails, or a stage takes too long; the cluster's containers are removed then,
    /// and what they logged is in the directory of logs.
    pub async fn up(
        options: &KindOptions,
        told: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, ClusterError> {
        Box::pin(boot::boot(options, told)).await
    }

    /// A client with all rights, which does not retry by itself.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// How long each stage of the boot took, in order.
    pub fn stages(&self) -> &[(&'static str, Duration)] {
        &self.stages
    }

    /// Puts an image of this machine's Docker into every node, under the name that manifests use. A
    /// node that has this very image under that name is left alone.
    ///
    /// `host_reference` has a tag or none, but no digest: `claimcheck/busybox:1`. `name_in_node` may
    /// be short: `busybox` stands for `docker.io/library/busybox:latest`.
    ///
    /// # Errors
    /// There is no such image, or a node does not take it.
    pub async fn load_image(
        &self,
        host_reference: &str,
        name_in_node: &str,
    ) -> Result<(), ClusterError> {
        images::load(&self.info.nodes, host_reference, name_in_node).await
    }

    /// Removes the nodes, and nothing else: before the NFS server, which a kernel's client would
    /// otherwise wait for.
    ///
    /// # Errors
    /// Docker cannot be run or refuses.
    pub async fn remove_nodes(&self) -> Result<(), ClusterError> {
        let containers = self.info.nodes.iter().map(|node| node.container.as_str());
        logs::collect(containers, &self.logs).await;
        let (name, directory) = (self.name.clone(), self.directory.clone());
        remove(move || crate::state::remove_nodes(&name, &directory)).await
    }
}

impl fmt::Debug for KindCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KindCluster")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Cluster for KindCluster {
    fn describe(&self) -> ClusterInfo {
        self.info.clone()
    }

    fn children(&self) -> Vec<ChildRecord> {
        self.watches
            .iter()
            .map(|child| child.record().clone())
            .collect()
    }

    async fn failed(&self) -> Died {
        let ended = self.watches.iter().map(|child| Box::pin(child.exited()));
        let (status, index, _) = select_all(ended).await;
        watch::died(
            &self.watches[index],
            status,
            &self.info.nodes[index],
            &self.logs,
        )
        .await
    }

    /// Removes the nodes, every other container of the testbed, and its network.
    async fn down(self: Box<Self>) {
        if let Err(error) = self.remove_nodes().await {
            warn!("nodes of the cluster are left for the next sweep: {error}");
        }
        let (name, directory) = (self.name.clone(), self.directory.clone());
        if let Err(error) = remove(move || crate::state::remove_containers(&name, &directory)).await
        {
            warn!("containers of the testbed are left for the next sweep: {error}");
        }
    }
}

/// Runs a removal, which blocks, on a thread that may.
async fn remove<T: Send + 'static>(
    removal: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<(), ClusterError> {
    tokio::task::spawn_blocking(removal)
        .await
        .map_err(io::Error::other)??;
    Ok(())
}

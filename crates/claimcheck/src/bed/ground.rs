//! A cluster that is up, and the export beside it.

use std::time::Duration;

use futures::future::join;
use kube::Client;
use testbed::cluster::Cluster;
use testbed::cluster::kind::KindCluster;
use testbed::cluster::local::LocalCluster;
use testbed::nfs::EmbeddedExport;
use testbed::nfs::container::ContainerExport;
use testbed::state::ExportInfo;
use tokio::time::timeout;

use super::local;

/// How long connections of an embedded export may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// A cluster and an export.
pub(super) enum Ground {
    /// Processes on this machine.
    Local(Box<LocalCluster>, EmbeddedExport),
    /// Real nodes, and a server of their own on their network.
    Kind(Box<KindCluster>, Box<ContainerExport>),
    /// Real nodes, whose own directories this process serves.
    KindNodes(Box<KindCluster>, EmbeddedExport),
}

impl Ground {
    /// The cluster.
    pub(super) fn cluster(&self) -> &dyn Cluster {
        match self {
            Self::Local(cluster, _) => &**cluster,
            Self::Kind(cluster, _) | Self::KindNodes(cluster, _) => &**cluster,
        }
    }

    /// A client with all rights, which does not retry by itself.
    pub(super) fn client(&self) -> Client {
        match self {
            Self::Local(cluster, _) => cluster.client(),
            Self::Kind(cluster, _) | Self::KindNodes(cluster, _) => cluster.client(),
        }
    }

    /// What others need to know of the export.
    pub(super) fn export(&self) -> ExportInfo {
        match self {
            Self::Local(_, export) | Self::KindNodes(_, export) => local::info(export),
            Self::Kind(_, export) => export.info(),
        }
    }

    /// Ends when a part ends by itself, with the cause. An export of this process ends with it.
    pub(super) async fn failed(&self) -> String {
        match self {
            Self::Local(cluster, _) => cluster.failed().await.to_string(),
            Self::KindNodes(cluster, _) => cluster.failed().await.to_string(),
            Self::Kind(cluster, export) => tokio::select! {
                died = cluster.failed() => died.to_string(),
                died = export.failed() => died.to_string(),
            },
        }
    }

    /// Ends both. What does not end is left for whoever removes the testbed's directory.
    pub(super) async fn end(self) {
        match self {
            // Nothing is lost when a client holds its connection: the directory goes anyway.
            Self::Local(cluster, export) => {
                let (_ended, ()) = join(timeout(GRACE, export.stop()), cluster.down()).await;
            }
            Self::KindNodes(cluster, export) => {
                let (_ended, ()) = join(timeout(GRACE, export.stop()), cluster.down()).await;
            }
            // Nodes first: a kernel waits for a server that is gone. Then the server, which removes
            // what is on the export, for that may belong to users that this process is not.
            Self::Kind(cluster, export) => {
                if let Err(error) = cluster.remove_nodes().await {
                    tracing::warn!("nodes are left for the next sweep: {error}");
                }
                if let Err(error) = export.stop().await {
                    tracing::warn!("the NFS server is left for the next sweep: {error}");
                }
                cluster.down().await;
            }
        }
    }
}

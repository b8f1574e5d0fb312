//! A `local` cluster with the embedded export.

use std::net::{Ipv4Addr, SocketAddr};

use camino::Utf8Path;
use testbed::cluster::ClusterError;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::state::ExportInfo;
use testbed::tools::versions;

use super::ground::Ground;
use crate::failure::{Failure, failed_to};

/// The exported path, as volumes name it.
const EXPORT_PATH: &str = "/export";
/// Simulated nodes: enough for a StatefulSet of three to spread.
const NODES: usize = 3;

/// Boots the cluster and starts the export, below `directory`.
pub(super) async fn boot(
    binaries: &LocalBinaries,
    directory: &Utf8Path,
    logs: &Utf8Path,
) -> Result<Ground, Failure> {
    let cluster = boot_cluster(binaries, directory, logs).await?;
    let exported = directory.join("export");
    fs_err::create_dir(&exported).map_err(Failure::testbed)?;
    Ok(Ground::Local(Box::new(cluster), serve(&exported).await?))
}

async fn boot_cluster(
    binaries: &LocalBinaries,
    directory: &Utf8Path,
    logs: &Utf8Path,
) -> Result<LocalCluster, Failure> {
    let options = LocalOptions {
        directory: directory.to_owned(),
        logs: logs.to_owned(),
        binaries: binaries.clone(),
        kubernetes: versions::KUBERNETES.to_owned(),
        nodes: NODES,
        guard: None,
    };
    LocalCluster::up(&options)
        .await
        .map_err(|error| cluster_failure(error, logs))
}

/// Why a cluster is not up, with the place of its logs.
pub(super) fn cluster_failure(error: ClusterError, logs: &Utf8Path) -> Failure {
    match &error {
        // They name their log, or the directory of all of them.
        ClusterError::Died(_) | ClusterError::Slow { .. } => Failure::testbed(error),
        _ => Failure::testbed(error).hint(format!("logs are in {logs}")),
    }
}

/// Serves `directory`, which exists, in this process.
pub(super) async fn serve(directory: &Utf8Path) -> Result<EmbeddedExport, Failure> {
    let options = ExportOptions {
        directory: directory.to_owned(),
        export_path: EXPORT_PATH.to_owned(),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        root_squash: false,
    };
    let started = EmbeddedExport::start(options).await;
    started.map_err(|error| Failure::testbed(failed_to(&error)))
}

/// What others need to know of an embedded export.
pub(super) fn info(export: &EmbeddedExport) -> ExportInfo {
    ExportInfo {
        server: Ipv4Addr::LOCALHOST.to_string(),
        path: EXPORT_PATH.to_owned(),
        port: export.port(),
        mount_port: export.port(),
        directory: export.directory().to_owned(),
        container: None,
    }
}

//! A cluster of kind with an NFS server in a container, or, for a subject that keeps volumes on the
//! nodes, with this process serving the nodes' directories.

use camino::Utf8Path;
use futures::future::{try_join, try_join_all};
use testbed::cluster::kind::{DockerNetwork, KindCluster, KindOptions};
use testbed::docker;
use testbed::nfs::container::{ContainerExport, ContainerExportOptions};
use testbed::subject::Layout;

use super::ground::Ground;
use super::parts::KindParts;
use super::{BedOptions, local, this_program};
use crate::failure::{Failure, failed_to};

/// Boots the cluster, starts the export and loads images into the nodes, below `directory`.
pub(super) async fn boot(
    parts: &KindParts,
    bed: &BedOptions<'_>,
    directory: &Utf8Path,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<Ground, Failure> {
    let network = DockerNetwork::create(bed.name, directory)
        .await
        .map_err(|error| local::cluster_failure(error, bed.logs))?;
    let cluster = cluster(parts, bed, directory, &network, told);
    // The export comes up while the nodes boot.
    if let Some(image) = &parts.server_image {
        let export = server(image, bed, directory, &network);
        let (cluster, export) = try_join(cluster, export).await?;
        return Ok(Ground::Kind(Box::new(cluster), Box::new(export)));
    }
    let nodes = directory.join("nodes");
    fs_err::create_dir_all(&nodes).map_err(Failure::testbed)?;
    let (cluster, export) = try_join(cluster, local::serve(&nodes)).await?;
    Ok(Ground::KindNodes(Box::new(cluster), export))
}

async fn cluster(
    parts: &KindParts,
    bed: &BedOptions<'_>,
    directory: &Utf8Path,
    network: &DockerNetwork,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<KindCluster, Failure> {
    let node_directory = match &bed.subject.layout {
        Layout::Nfs => None,
        Layout::NodeDirectory { path } => Some(path.clone()),
    };
    let options = KindOptions {
        directory: directory.to_owned(),
        logs: bed.logs.to_owned(),
        name: bed.name.to_owned(),
        kind: parts.program.clone(),
        node_image: parts.node_image.clone(),
        workers: parts.workers,
        kubernetes: parts.kubernetes.clone(),
        node_directory,
        mount_program: this_program()?,
        network: network.clone(),
        guard: None,
    };
    let failed = |error| local::cluster_failure(error, bed.logs);
    let cluster = KindCluster::up(&options, told).await.map_err(failed)?;
    told("loading images into the nodes");
    let loads = parts
        .images
        .iter()
        .map(|image| cluster.load_image(&image.reference, &image.name));
    try_join_all(loads).await.map_err(failed)?;
    Ok(cluster)
}

async fn server(
    image: &str,
    bed: &BedOptions<'_>,
    directory: &Utf8Path,
    network: &DockerNetwork,
) -> Result<ContainerExport, Failure> {
    let options = ContainerExportOptions {
        container: format!("{}-nfs", docker::resource_name(bed.name, directory)),
        testbed: directory.to_owned(),
        image: image.to_owned(),
        network: network.name.clone(),
        address: network.nfs_server,
        directory: directory.join("export"),
        squashed: directory.join("squashed"),
        log: bed.logs.join("nfs-server.log"),
    };
    ContainerExport::start(&options).await.map_err(|error| {
        Failure::testbed(failed_to(&error)).hint(format!("logs are in {}", bed.logs))
    })
}

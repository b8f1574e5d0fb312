//! How nodes mount NFS: by the kernel where it can, else by `claimcheck nfs-mount` in its place.

use super::config::PROGRAM_DIRECTORY;
use super::script;
use crate::cluster::ClusterError;
use crate::docker::DockerError;
use crate::machine;
use crate::state::{NfsMounts, NodeInfo};

/// What the kubelet's mounts call where the kernel has no client.
const MOUNT_SCRIPT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/mount.nfs.sh"
));
/// Loads the kernel's client. Some versions of it may be missing, so what counts is looked at after.
const LOAD: &str = "for module in nfs nfsv3 nfsv4; do modprobe \"$module\" || true; done\n";
/// Makes FUSE usable. A node has the devices that were there when it started.
const FUSE: &str = "test -c /dev/fuse || modprobe fuse || true\n\
                    test -c /dev/fuse || mknod -m 0666 /dev/fuse c 10 229\n";

/// Makes all nodes able to mount NFS, and says how they do.
///
/// # Errors
/// The kernel cannot, and the program in user space does not run in a node.
pub(super) async fn prepare(nodes: &[NodeInfo]) -> Result<NfsMounts, ClusterError> {
    if machine::kernel_has_nfs() && kernel_mounts(nodes).await? {
        return Ok(NfsMounts::Kernel);
    }
    futures::future::try_join_all(nodes.iter().map(divert)).await?;
    Ok(NfsMounts::UserSpace)
}

/// Whether the kernel that all nodes share has its client now, loaded through a node where it was not.
async fn kernel_mounts(nodes: &[NodeInfo]) -> Result<bool, ClusterError> {
    if let Some(node) = nodes.first()
        && !machine::nfs_is_loaded()
    {
        script::run(&node.container, LOAD).await?;
    }
    Ok(machine::nfs_is_loaded())
}

/// Puts the program in user space in place of the kernel's helper.
async fn divert(node: &NodeInfo) -> Result<(), ClusterError> {
    let result = script::run(&node.container, &diversion()).await;
    match result {
        Ok(_) => Ok(()),
        Err(DockerError::Failed { said, .. }) => Err(ClusterError::Unfit(format!(
            "this machine's kernel has no NFS client, and mounting in user space does not work in \
             node `{}`: {said}; the program in the node is this `claimcheck`, which needs a C \
             library no newer than the node image's, and FUSE in the kernel",
            node.name
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The script that does so, and ends by running the program.
fn diversion() -> String {
    let mut script = FUSE.to_owned();
    // Programs of the package would ask the kernel, for version 4 too.
    for name in ["mount.nfs", "mount.nfs4"] {
        let path = format!("/sbin/{name}");
        script.push_str(&script::write_file(&path, "0755", MOUNT_SCRIPT));
    }
    script.push_str(PROGRAM_DIRECTORY);
    script.push_str("/claimcheck --version\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_helpers_are_diverted_to_the_program_that_nodes_are_given() {
        let script = diversion();
        assert!(script.contains("mv /sbin/mount.nfs.new /sbin/mount.nfs\n"));
        assert!(script.contains("mv /sbin/mount.nfs4.new /sbin/mount.nfs4\n"));
        assert!(script.contains(&format!(
            "exec {PROGRAM_DIRECTORY}/claimcheck nfs-mount \"$@\""
        )));
        assert!(script.ends_with(&format!("{PROGRAM_DIRECTORY}/claimcheck --version\n")));
    }
}

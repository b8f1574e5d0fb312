//! Source: Kubernetes end-to-end tests, subpath (read-only volumes and mounts).
//!
//! Whether the pod's mount or its volume is read-only, the runtime puts a read-only bind mount into the
//! pod, which refuses writes whatever lies below it. A volume that is read-only is to be so below that
//! as well: the kubelet mounts it with `ro`. That is looked at on the node.

use serde_json::json;

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::exec::Output;
use crate::world::mounts::Mount;
use crate::world::pods::Shell;
use crate::world::volume::Volume;

/// A mount that is read-only, and one of a volume that is, MUST reject every write and give the
/// data.
pub(crate) const CASE: Case = Case::new("M05", |world| Box::pin(run(world)));

const WRITABLE: &str = "/mnt/writable";
const TEXT: &str = "not to be changed";

/// Every way to change something, in the current directory.
const CHANGES: &[&str] = &[
    "echo x > new",
    "echo x >> data.txt",
    ": > data.txt",
    "rm data.txt",
    "mv data.txt other",
    "mkdir directory",
    "ln -s data.txt link",
    "chmod 600 data.txt",
    "touch data.txt",
];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let writer = world.shell("writer").mount("data", WRITABLE);
    let writer = writer.create().await?;
    writer.ready().await?;
    let write = format!("echo '{TEXT}' > {WRITABLE}/data.txt");
    writer.run(&write).await?;
    let content = world.manifest(&directory).await?;

    // By the mount in one pod, with a writable one beside it; by the volume in another.
    let by_mount = world
        .shell("by-mount")
        .mount_read_only("data", "/mnt/mount")
        .mount("data", WRITABLE);
    let by_mount = by_mount.create().await?;
    let by_volume = world.shell("by-volume").spec(|spec| {
        spec["volumes"] = json!([{
            "name": "whole",
            "persistentVolumeClaim": {"claimName": "data", "readOnly": true},
        }]);
        spec["containers"][0]["volumeMounts"] =
            json!([{"name": "whole", "mountPath": "/mnt/volume"}]);
    });
    let by_volume = by_volume.create().await?;
    by_mount.ready().await?;
    by_volume.ready().await?;
    for (pod, mount) in [(&by_mount, "/mnt/mount"), (&by_volume, "/mnt/volume")] {
        let read = pod.run(&format!("cat {mount}/data.txt")).await?;
        ensure_eq(&format!("data.txt at {mount}"), &read, &TEXT)?;
        for change in CHANGES {
            refused(pod, mount, change).await?;
        }
    }
    read_only_on_node(world, &volume, &by_volume, &by_mount).await?;
    world.unchanged(&directory, &content).await?;

    // The same changes are possible where the volume may be written to: it was not the data.
    for change in CHANGES {
        let script = format!("cd {WRITABLE} && echo '{TEXT}' > data.txt && {change}");
        by_mount.run(&script).await?;
    }
    let differences = content.differences(&world.manifest(&directory).await?);
    ensure(
        !differences.is_empty(),
        "the writable mount of the same pod changes the volume",
        || format!("{directory} is as it was"),
    )
}

/// The node's mount for the pod whose volume is read-only has `ro` and refuses writes; that for the pod
/// whose mount is read-only, and which has a writable one as well, has not. Where the kubelet mounts
/// nothing, as for a directory of the node itself, there is nothing to look at.
async fn read_only_on_node(
    world: &World,
    volume: &Volume<'_>,
    by_volume: &Shell<'_>,
    by_mount: &Shell<'_>,
) -> CaseResult {
    let is_nfs = volume.spec().nfs.is_some();
    let mut mounts = Vec::new();
    for pod in [by_volume, by_mount] {
        match world.mount_on_node(pod, volume).await? {
            Some(mount) => mounts.push(mount),
            None if is_nfs => {
                return Err(Trouble::failed(
                    format!("the volume is mounted on the node of pod {}", pod.name),
                    "/proc/mounts there has no such mount",
                ));
            }
            None => return Ok(()),
        }
    }
    let [whole, writable] = &mounts[..] else {
        return Err(Trouble::inconclusive("two mounts were expected"));
    };
    let shown = |mount: &Mount| format!("its options are {}", mount.options.join(","));
    ensure(
        whole.has("ro"),
        "a volume that the pod has read-only is mounted on the node with ro",
        || shown(whole),
    )?;
    ensure(
        !writable.has("ro"),
        "a volume of which only one mount of the pod is read-only is mounted on the node without ro",
        || shown(writable),
    )?;
    // By the file system itself, not by a flag that is shown.
    let attempt = format!("touch '{}/by-node' 2>&1 || true", whole.place);
    let told = world.on_node_of(by_volume, &["sh", "-c", &attempt]).await?;
    ensure(
        told.contains("Read-only file system"),
        "a write through the node's mount of the read-only volume is refused: Read-only file system",
        || format!("touch wrote {told:?}"),
    )
}

async fn refused(pod: &Shell<'_>, mount: &str, change: &str) -> CaseResult {
    let output = pod.output(&format!("cd {mount} && {change}")).await?;
    ensure(
        output.code != 0 && output.stderr.contains("Read-only file system"),
        format!(
            "`{change}` at {mount} in pod {} is refused: Read-only file system",
            pod.name
        ),
        || {
            let Output { code, stderr, .. } = &output;
            format!("it ended with {code}: {:?}", stderr.trim())
        },
    )
}

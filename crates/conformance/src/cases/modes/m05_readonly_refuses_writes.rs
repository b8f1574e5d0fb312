//! Source: Kubernetes end-to-end tests, subpath (read-only volumes and mounts).

use serde_json::json;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::exec::Output;
use crate::world::pods::Shell;

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
    let directory = claim.bound().await?.existing_directory().await?;
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

//! Source: Kubernetes end-to-end tests, volume I/O (files of several sizes, checked by checksum).

use crate::case::Case;
use crate::cases::pod_scripts::sha256;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// Files from nothing to 100 MiB SHOULD keep their checksums: in the pod that wrote them, in one on
/// another node, and on the server's side.
pub(crate) const CASE: Case = Case::new("M09", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
/// Empty, tiny, around a page, one that is written in one piece, one in many; in bytes.
const SIZES: &[u64] = &[0, 1, 4095, 4096, 4097, 1 << 20, 100 << 20];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).request("200Mi");
    let claim = claim.create().await?;
    let directory = claim.bound().await?.existing_directory().await?;
    let (here, there) = world.nodes_for(&directory)?;
    let writer = world.shell("writer").node(here).mount("data", MOUNT);
    let writer = writer.create().await?;
    writer.ready().await?;

    // The checksum is of what went into the file, not of what can be read from it.
    let mut written = Vec::new();
    for size in SIZES {
        let script = format!(
            "set -e; mkdir -p /tmp; head -c {size} /dev/urandom > /tmp/source; \
             cat /tmp/source > {MOUNT}/of-{size}"
        );
        writer.run(&script).await?;
        written.push((size, sha256(&writer, "/tmp/source").await?));
    }
    let reader = world.shell("reader").node(there).mount("data", MOUNT);
    let reader = reader.create().await?;
    reader.ready().await?;
    for (size, due) in &written {
        let file = format!("of-{size}");
        let path = format!("{MOUNT}/{file}");
        for pod in [&writer, &reader] {
            let what = format!("SHA-256 of {size} bytes read in pod {}", pod.name);
            ensure_eq(&what, &sha256(pod, &path).await?, due)?;
        }
        let stat = world.export().stat(&format!("{directory}/{file}")).await?;
        let length = stat.map(|stat| stat.size);
        ensure_eq(
            &format!("length of {file} on the server's side"),
            &length,
            &Some(**size),
        )?;
    }
    // Once for all: it reads every file, over the protocol and behind it.
    let served = world.manifest(&directory).await?;
    for (size, due) in &written {
        let entry = served.get(&format!("of-{size}"));
        let digest = entry.and_then(|entry| entry.sha256.as_deref());
        let what = format!("SHA-256 of {size} bytes on the server's side");
        ensure_eq(&what, &digest, &Some(due.as_str()))?;
    }
    Ok(())
}

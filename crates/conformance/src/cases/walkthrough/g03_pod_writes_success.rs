//! Source: walkthrough step 3.

use k8s_openapi::api::core::v1::Pod;
use testbed::nfs::view::FileKind;
use testbed::state::NodeInfo;

use super::{class, test_claim};
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::manifests::documents;
use crate::world::pods::Shell;

/// `test-pod` MUST succeed, and its file be in the volume's directory on the server's side. What one
/// pod writes there is the same bytes in a pod on another node and on the server's side.
pub(crate) const CASE: Case = Case::step("G03", |world| Box::pin(run(world)));

const POD: &str = include_str!("../../../../../fixtures/walkthrough/test-pod.yaml");

/// How many random bytes go from node to node: no round number of blocks or pages.
const BYTES: usize = 100_003;

async fn run(world: &World) -> CaseResult {
    let class = class(world, "managed-nfs-storage").await?;
    let volume = test_claim(world, &class).await?.bound().await?;
    let directory = volume.existing_directory().await?;
    let pod = documents::<Pod>(POD)?.into_iter().next();
    let pod = pod.ok_or_else(|| Trouble::inconclusive("the fixture holds no pod"))?;
    world.create_pod(&pod).await?;
    world.pod_in_phase("test-pod", "Succeeded").await?;

    // Both sides of the export are compared on the way.
    let manifest = world.manifest(&directory).await?;
    let files: Vec<_> = manifest
        .entries
        .iter()
        .filter(|entry| !entry.path.is_empty())
        .map(|entry| (entry.path.as_str(), entry.kind))
        .collect();
    ensure_eq(
        "the content of the volume's directory",
        &files,
        &[("SUCCESS", FileKind::File)],
    )?;
    same_bytes_everywhere(world, &directory).await
}

/// A pod writes; a pod on another node, where there is one, reads; and so does the server's side.
async fn same_bytes_everywhere(world: &World, directory: &str) -> CaseResult {
    let workers = world.workers();
    let (Some(first), Some(last)) = (workers.first(), workers.last()) else {
        return Err(Trouble::inconclusive("the testbed has no node for pods"));
    };
    let writer = shell(world, "writer", first).await?;
    let reader = shell(world, "reader", last).await?;
    let written = writer
        .run(&format!(
            "head -c {BYTES} /dev/urandom > /tmp/bytes && cp /tmp/bytes /mnt/bytes && \
             sha256sum < /tmp/bytes"
        ))
        .await?;
    let read = reader.run("sha256sum < /mnt/bytes").await?;
    ensure_eq("the digest on the other node", &read, &written)?;
    let manifest = world.manifest(directory).await?;
    let bytes = manifest.get("bytes");
    let expected = format!("{directory}/bytes is on the server's side");
    let bytes = bytes.ok_or_else(|| Trouble::failed(expected, "there is no such file"))?;
    let written = written.split_whitespace().next();
    ensure_eq(
        "the digest on the server's side",
        &bytes.sha256.as_deref(),
        &written,
    )
}

async fn shell<'w>(world: &'w World, name: &str, node: &NodeInfo) -> CaseResult<Shell<'w>> {
    let shell = world.shell(name).mount("nfs-pv1", "/mnt").node(node);
    let shell = shell.create().await?;
    shell.ready().await?;
    Ok(shell)
}

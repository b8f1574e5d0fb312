//! Source: Kubernetes end-to-end tests, volumes (data is kept when the pod is made again).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// Data MUST survive the end of its pod: a new pod on the same node has it, and one on another node.
pub(crate) const CASE: Case = Case::new("M04", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";

/// A tree with what a volume holds in practice: nested, empty, large, executable, linked.
const WRITE: &str = "set -e; cd /mnt/data; mkdir -p a/b; echo nested > a/b/file; : > empty
head -c 1048577 /dev/urandom > a/large; printf '#!/bin/sh\\necho ran\\n' > run; chmod 755 run
ln -s a/b/file link; ln run hard";

async fn run(world: &World) -> CaseResult {
    let (here, there) = world.two_workers()?;
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let directory = claim.bound().await?.existing_directory().await?;

    let first = world.shell("first").node(here).mount("data", MOUNT);
    let first = first.create().await?;
    first.ready().await?;
    first.run(WRITE).await?;
    let mut content = world.manifest(&directory).await?;
    for path in ["a/b/file", "a/large", "empty", "hard", "link", "run"] {
        ensure(
            content.get(path).is_some(),
            format!("{path}, which a pod wrote, is on the server's side"),
            || format!("{directory} has no {path}"),
        )?;
    }
    world.same_in_pod("first", MOUNT, &directory).await?;
    first.delete().await?;

    for (name, node) in [("same-node", here), ("other-node", there)] {
        let pod = world.shell(name).node(node).mount("data", MOUNT);
        let pod = pod.create().await?;
        pod.ready().await?;
        ensure_eq("the pod's node", &pod.node_name().await?, &node.name)?;
        // Without its pod nothing may have happened to it.
        world.unchanged(&directory, &content).await?;
        world.same_in_pod(name, MOUNT, &directory).await?;
        let read = pod.run("cd /mnt/data && cat link && ./run").await?;
        ensure_eq(
            "what the link leads to, and the file runs",
            &read,
            &"nested\nran",
        )?;
        // It is no copy: what is added here is there for the next one.
        let file = format!("of-{name}");
        world.pod_writes(name, MOUNT, &directory, &file).await?;
        content = world.manifest(&directory).await?;
        pod.delete().await?;
    }
    world.unchanged(&directory, &content).await
}

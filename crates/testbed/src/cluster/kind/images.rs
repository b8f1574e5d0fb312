//! Images of this machine's Docker in the nodes.

use std::process::{Output, Stdio};
use std::time::Duration;

use futures::future::{join, join_all, try_join_all};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio::time::{sleep, timeout};

use super::script;
use crate::cluster::ClusterError;
use crate::docker::{self, DockerError};
use crate::state::NodeInfo;

/// What nodes call an image that was put there, beside its name: with the image's own hash, so that a
/// later call knows that it is there already.
const STAMP: &str = "claimcheck.invalid/loaded";
/// The label of an image that the kubelet's side of containerd knows of.
const KNOWN: &str = "io.cri-containerd.image=managed";
/// How long it may take to learn of one.
const KNOWN_LIMIT: Duration = Duration::from_secs(20);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(50);
/// How much of an image is passed on at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// Puts an image into those of the nodes that do not have it under that name.
pub(super) async fn load(
    nodes: &[NodeInfo],
    host_reference: &str,
    name_in_node: &str,
) -> Result<(), ClusterError> {
    if host_reference.contains('@') {
        return Err(ClusterError::Unfit(format!(
            "the image `{host_reference}` cannot be put into nodes by its digest; name it by a tag"
        )));
    }
    let id = docker::run(&["image", "inspect", "--format", "{{.Id}}", host_reference]).await?;
    let stamp = stamp(&id);
    let (source, name) = (full_name(host_reference), full_name(name_in_node));
    let missing: Vec<_> = try_join_all(nodes.iter().map(async |node| {
        let there = ctr(node, &["images", "ls"]).await?;
        Ok::<_, DockerError>((!is_there(&there, &name, &stamp)).then_some(node))
    }))
    .await?
    .into_iter()
    .flatten()
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    send(&missing, host_reference).await?;
    try_join_all(
        missing
            .iter()
            .map(|node| name_it(node, &source, &name, &stamp)),
    )
    .await?;
    Ok(())
}

/// The name by which a node's containerd knows that it has the image with this hash.
fn stamp(id: &str) -> String {
    let digits = id.rsplit(':').next().unwrap_or(id);
    format!("{STAMP}:{}", &digits[..digits.len().min(32)])
}

/// The full name of an image, as containerd has it: `docker.io/library/busybox:latest`.
fn full_name(name: &str) -> String {
    let (first, rest) = match name.split_once('/') {
        // A first part with a dot or a port, or `localhost`, is a registry.
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    let library = if first == "docker.io" && !rest.contains('/') {
        "library/"
    } else {
        ""
    };
    let tag = if rest.contains([':', '@']) {
        ""
    } else {
        ":latest"
    };
    format!("{first}/{library}{rest}{tag}")
}

/// Whether a list of images (`ctr images ls`: name, type, digest, ...) has one with both names.
fn is_there(list: &str, name: &str, stamp: &str) -> bool {
    let digest = |wanted: &str| {
        list.lines().find_map(|line| {
            let mut columns = line.split_whitespace();
            (columns.next() == Some(wanted))
                .then(|| columns.nth(1))
                .flatten()
        })
    };
    digest(name).is_some_and(|found| digest(stamp) == Some(found))
}

/// Gives the image that came as `source` its names, and ends when the kubelet can find it.
async fn name_it(
    node: &NodeInfo,
    source: &str,
    name: &str,
    stamp: &str,
) -> Result<(), ClusterError> {
    for tag in [name, stamp] {
        if tag != source {
            ctr(node, &["images", "tag", "--force", source, tag]).await?;
        }
    }
    let filter = format!("name=={name}");
    let known = async {
        while !ctr(node, &["images", "ls", &filter]).await?.contains(KNOWN) {
            sleep(POLL).await;
        }
        Ok::<_, DockerError>(())
    };
    timeout(KNOWN_LIMIT, known).await.unwrap_or_else(|_| {
        Err(DockerError::Answer {
            call: format!("exec {} ctr images ls {filter}", node.container),
            answer: format!("no `{KNOWN}` after {} s", KNOWN_LIMIT.as_secs()),
        })
    })?;
    Ok(())
}

async fn ctr(node: &NodeInfo, args: &[&str]) -> Result<String, DockerError> {
    let call: Vec<&str> = ["ctr", "--namespace=k8s.io"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    docker::exec(&node.container, &call).await
}

/// Sends one stream of an image to several nodes: it is read once and stored nowhere between.
async fn send(nodes: &[&NodeInfo], reference: &str) -> Result<(), DockerError> {
    let mut save = docker::command(&["save", reference])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(DockerError::Missing)?;
    let mut imports = Vec::new();
    let mut inputs = Vec::new();
    for node in nodes {
        let import = ["ctr", "--namespace=k8s.io", "images", "import", "-"];
        let mut child = script::fed(&node.container, &import)
            .spawn()
            .map_err(DockerError::Missing)?;
        inputs.extend(child.stdin.take());
        imports.push(child.wait_with_output());
    }
    let image = save.stdout.take().expect("standard output is a pipe");
    let passed = pass_on(image, inputs);
    let (saved, ((), imported)) =
        join(save.wait_with_output(), join(passed, join_all(imports))).await;
    judge(
        &format!("save {reference}"),
        &saved.map_err(DockerError::Missing)?,
    )?;
    for (node, output) in nodes.iter().zip(imported) {
        let call = format!("exec {} ctr images import", node.container);
        judge(&call, &output.map_err(DockerError::Missing)?)?;
    }
    Ok(())
}

/// Writes everything that comes from `source` to all inputs. One that takes no more is passed over:
/// its command says why.
async fn pass_on(mut source: impl AsyncRead + Unpin, mut inputs: Vec<ChildStdin>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = source.read(&mut chunk).await {
        let data = &chunk[..length];
        let taken = join_all(inputs.iter_mut().map(|input| input.write_all(data))).await;
        let mut taken = taken.into_iter();
        inputs.retain(|_| taken.next().is_some_and(|result| result.is_ok()));
    }
}

fn judge(call: &str, output: &Output) -> Result<(), DockerError> {
    if output.status.success() {
        return Ok(());
    }
    Err(DockerError::Failed {
        call: call.to_owned(),
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stand_for_the_full_ones() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("claimcheck/x:1", "docker.io/claimcheck/x:1"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn an_image_is_there_when_both_names_stand_for_the_same() {
        let list =
            "REF TYPE DIGEST SIZE\na/b:1 x sha256:1 9\nstamp:1 x sha256:1 9\nc/d:1 x sha256:2 9\n";
        assert!(is_there(list, "a/b:1", "stamp:1"));
        assert!(!is_there(list, "c/d:1", "stamp:1"));
        assert!(!is_there(list, "a/b:1", "stamp:2"));
        assert!(!is_there("", "a/b:1", "stamp:1"));
    }

    #[test]
    fn a_stamp_has_half_of_the_hash() {
        let id = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(stamp(&id), format!("{STAMP}:{}", "ab".repeat(16)));
    }
}

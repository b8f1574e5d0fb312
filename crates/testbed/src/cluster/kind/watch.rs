//! Watching over nodes: each has a process on this machine that ends when its container does.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use camino::Utf8Path;

use super::{environment, logs};
use crate::cluster::{ClusterError, Died, Part};
use crate::process::{Child, Spec, tail};
use crate::state::NodeInfo;

/// Lines of a node's log that its death shows.
const TAIL: usize = 15;

/// Starts the watch over one node.
pub(super) async fn start(
    node: &NodeInfo,
    directory: &Utf8Path,
    logs: &Utf8Path,
    guard: Option<&Utf8Path>,
) -> Result<Child, ClusterError> {
    let spec = Spec {
        name: format!("docker wait {}", node.container),
        command: "docker".to_owned(),
        args: vec!["wait".to_owned(), node.container.clone()],
        env: environment::for_docker(directory),
        dir: directory.to_owned(),
        log: logs.join(format!("{}-end.log", node.container)),
        bind: Vec::new(),
        guard: guard.map(Utf8Path::to_owned),
    };
    Ok(Child::spawn(spec).await?)
}

/// What ended, now that the watch over `node` has: the node, or only the watch.
pub(super) async fn died(
    watch: &Child,
    status: ExitStatus,
    node: &NodeInfo,
    directory: &Utf8Path,
) -> Died {
    // `docker wait` writes how the container ended, as a number.
    let Some(code) = status
        .success()
        .then(|| watch.tail(1).trim().parse::<i32>().ok())
        .flatten()
    else {
        return Died::of(watch, status);
    };
    node_died(&node.container, code, directory).await
}

/// What is to be said of a node's container that ended with `code`, with its logs kept in `directory`.
pub(super) async fn node_died(container: &str, code: i32, directory: &Utf8Path) -> Died {
    logs::collect([container], directory).await;
    let log = logs::path(directory, container);
    Died {
        part: Part::Node,
        process: container.to_owned(),
        // The status of a process that ended with this code (wait(2)).
        status: ExitStatus::from_raw((code & 0xff) << 8),
        tail: tail(&log, TAIL),
        log,
    }
}

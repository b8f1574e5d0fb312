//! Logs of nodes, which go with their containers.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::join_all;
use tokio::time::timeout;
use tracing::debug;

use crate::docker;

/// How long reading one node's logs may take: a node that is stuck has none that are worth more.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the logs of the node in `container` are kept.
pub(super) fn path(logs: &Utf8Path, container: &str) -> Utf8PathBuf {
    logs.join(format!("{container}.log"))
}

/// Keeps what the nodes, their kubelets and their container runtimes logged. A node that is gone, or
/// cannot be asked any more, is passed over.
pub(super) async fn collect(containers: impl IntoIterator<Item = &str>, logs: &Utf8Path) {
    join_all(
        containers
            .into_iter()
            .map(|container| collect_one(container, logs)),
    )
    .await;
}

/// What is known to be wrong when collected logs say certain things, and what mends it.
pub(super) fn explanation<'a>(
    containers: impl IntoIterator<Item = &'a str>,
    logs: &Utf8Path,
) -> Option<&'static str> {
    containers
        .into_iter()
        .filter_map(|container| fs_err::read(path(logs, container)).ok())
        .find_map(|log| explain(&String::from_utf8_lossy(&log)))
}

/// What one log says is wrong.
fn explain(log: &str) -> Option<&'static str> {
    let says = |text: &str| log.lines().any(|line| line.to_lowercase().contains(text));
    if says("inotify") && says("too many open files") {
        return Some(
            "nodes had no inotify instances left, of which all users of this machine share the \
             kernel's; end other clusters, or run `sysctl -w fs.inotify.max_user_instances=512`",
        );
    }
    if says("no space left on device") {
        return Some("nodes had no disk space left; `docker system df` says what takes it");
    }
    None
}

async fn collect_one(container: &str, logs: &Utf8Path) {
    let journal = [
        "journalctl",
        "--no-pager",
        "--output=short-precise",
        "--unit=kubelet",
        "--unit=containerd",
    ];
    let read = async {
        let console = docker::run(&["logs", container]).await;
        let journal = docker::exec(container, &journal).await;
        (console, journal)
    };
    let Ok((console, journal)) = timeout(LIMIT, read).await else {
        debug!(container, "logs could not be read in time");
        return;
    };
    if console.is_err() && journal.is_err() {
        debug!(container, "no logs are to be had any more");
        return;
    }
    let parts = [console, journal].map(|part| part.unwrap_or_else(|error| error.to_string()));
    if let Err(error) = fs_err::write(path(logs, container), parts.join("\n")) {
        debug!(container, "logs could not be kept: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_go_wrong_is_explained() {
        let log = "x\nE1122 1 kubelet.go:1] Failed to start: inotify_init: too many open files\n";
        assert!(explain(log).unwrap().contains("max_user_instances"));
        assert!(
            explain("write: No space left on device")
                .unwrap()
                .contains("disk")
        );
        assert_eq!(explain("too many cooks"), None);
    }
}

//! Following the logs of a workload's pods into one file.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;

use camino::Utf8PathBuf;
use fs_err::File;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::LogParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::task::JoinSet;

use super::in_cluster::Pods;

/// Writes every line of every container of the pods to the file at `path`, with the names of pod and
/// container before it. Pods that come later are followed too. It ends when it is dropped.
pub(super) async fn follow(client: Client, pods: Pods, path: Utf8PathBuf) {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path);
    let file = match file {
        Ok(file) => Arc::new(file),
        Err(error) => {
            tracing::warn!("the subject's log is not kept: {error}");
            return;
        }
    };
    let api = pods.api(&client);
    let config = watcher::Config::default().labels(&pods.selector);
    let changes = watcher(api.clone(), config)
        .default_backoff()
        .applied_objects();
    let mut changes = std::pin::pin!(changes);
    let mut followed = HashSet::new();
    let mut streams = JoinSet::new();
    while let Some(change) = changes.next().await {
        // The stream goes on after an error.
        let Ok(pod) = change else { continue };
        for (container, id) in started(&pod) {
            if followed.insert(id) {
                let (api, file) = (api.clone(), Arc::clone(&file));
                streams.spawn(copy(api, pod.name_any(), container, file));
            }
        }
    }
}

/// The containers of a pod that have a log, with the ids by which a restarted one is told apart.
fn started(pod: &Pod) -> Vec<(String, String)> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let has_log = |container: &&ContainerStatus| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    lists
        .into_iter()
        .flatten()
        .flatten()
        .filter(has_log)
        .filter_map(|container| Some((container.name.clone(), container.container_id.clone()?)))
        .collect()
}

/// Copies the log of one container until it ends.
async fn copy(api: Api<Pod>, pod: String, container: String, file: Arc<File>) {
    let params = LogParams {
        container: Some(container.clone()),
        follow: true,
        ..LogParams::default()
    };
    let line = |text: &str| {
        // One write per line: lines of several containers do not mix. A log that cannot be
        // written is no reason to stop a run.
        let _ = (&*file).write_all(format!("{pod}/{container}: {text}\n").as_bytes());
    };
    let stream = match api.log_stream(&pod, &params).await {
        Ok(stream) => stream,
        Err(error) => return line(&format!("(its log cannot be read: {error})")),
    };
    let mut lines = std::pin::pin!(stream.lines());
    while let Some(text) = lines.next().await {
        match text {
            Ok(text) => line(&text),
            Err(error) => return line(&format!("(its log breaks off: {error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_that_have_started_have_a_log_and_a_restarted_one_another() {
        let pod: Pod = serde_json::from_value(json!({
            "status": {
                "initContainerStatuses": [{
                    "name": "init", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "containerID": "containerd://1", "state": {"terminated": {"exitCode": 0}},
                }],
                "containerStatuses": [
                    {
                        "name": "main", "image": "", "imageID": "", "ready": true,
                        "restartCount": 1, "containerID": "containerd://3",
                        "state": {"running": {}},
                    },
                    {
                        "name": "side", "image": "", "imageID": "", "ready": false,
                        "restartCount": 0, "state": {"waiting": {}},
                    },
                ],
            },
        }))
        .unwrap();
        let expected = [("init", "containerd://1"), ("main", "containerd://3")]
            .map(|(name, id)| (name.to_owned(), id.to_owned()));
        assert_eq!(started(&pod), expected);
        assert!(started(&Pod::default()).is_empty());
    }
}

//! What pods say: their state, the events about them, and the last lines of their containers' logs,
//! those before a restart too.

use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8Path;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::{Api, ListParams, LogParams};
use kube::{Client, ResourceExt};

use super::LOG_LINES;
use crate::expect::text;
use crate::trouble::in_full;
use crate::world::events::in_one_line;

/// How many pods of a namespace are kept: on a cluster of others there may be any number.
const PODS: usize = 40;
/// How many logs are fetched at once.
const AT_ONCE: usize = 8;
/// How long one log may take: a kubelet that hangs must not cost the logs of the others.
const LOG_LIMIT: Duration = Duration::from_secs(4);
/// How much of a log is kept, in bytes, however long its lines are.
const LOG_BYTES: i64 = 1 << 20;

/// One log of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Log {
    pod: String,
    container: String,
    /// That of the container's run before the present one.
    previous: bool,
}

impl Log {
    fn file(&self) -> String {
        let Self { pod, container, .. } = self;
        let previous = if self.previous { ".previous" } else { "" };
        format!("{pod}.{container}{previous}.log")
    }
}

/// Writes what the pods of `namespace` say to `<namespace>.txt` and to files in `<namespace>/` below
/// `directory`. What cannot be read is said in the files.
///
/// # Errors
/// When the files cannot be written.
pub(super) async fn capture(
    client: Client,
    namespace: &str,
    directory: &Utf8Path,
) -> std::io::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let directory_of_logs = directory.join(namespace);
    fs_err::create_dir_all(&directory_of_logs)?;
    let summary = directory.join(format!("{namespace}.txt"));
    let found = match pods.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(error) => {
            return fs_err::write(summary, format!("cannot be listed: {}\n", in_full(&error)));
        }
    };
    let events: Api<Event> = Api::namespaced(client, namespace);
    let about_pods = ListParams::default().fields("involvedObject.kind=Pod");
    let (events, unread) = match events.list(&about_pods).await {
        Ok(events) => (events.items, None),
        Err(error) => (Vec::new(), Some(in_full(&error))),
    };
    let (kept, more) = found.split_at(found.len().min(PODS));
    let mut told = String::new();
    if let Some(cause) = unread {
        let _ = writeln!(told, "events cannot be listed: {cause}");
    }
    for pod in kept {
        told.push_str(&summary_of(pod, &events));
    }
    for pod in more {
        let _ = writeln!(told, "# pod {}: left out", pod.name_any());
    }
    fs_err::write(summary, told)?;

    let mut logs = stream::iter(kept.iter().flat_map(logs_of).map(|log| {
        let pods = &pods;
        async move { (log.file(), read(pods, &log).await) }
    }))
    .buffer_unordered(AT_ONCE);
    while let Some((file, log)) = logs.next().await {
        fs_err::write(directory_of_logs.join(file), log)?;
    }
    Ok(())
}

/// The pod as it is, and the events about it.
fn summary_of(pod: &Pod, events: &[Event]) -> String {
    let mut out = format!("# pod {}\n{}\n", pod.name_any(), text(pod));
    let uid = pod.uid();
    for event in events
        .iter()
        .filter(|event| event.involved_object.uid == uid)
    {
        let _ = writeln!(out, "event: {}", in_one_line(event));
    }
    out
}

/// The logs that a pod's containers have, the initial ones first: none of a container that never ran.
fn logs_of(pod: &Pod) -> Vec<Log> {
    let status = pod.status.clone().unwrap_or_default();
    let containers = [
        status.init_container_statuses,
        status.container_statuses,
        status.ephemeral_container_statuses,
    ];
    let mut logs = Vec::new();
    for container in containers.into_iter().flatten().flatten() {
        for previous in [true, false] {
            if has_log(&container, previous) {
                logs.push(Log {
                    pod: pod.name_any(),
                    container: container.name.clone(),
                    previous,
                });
            }
        }
    }
    logs
}

fn has_log(container: &ContainerStatus, previous: bool) -> bool {
    let ran = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    if previous {
        return ran(container.last_state.as_ref());
    }
    ran(container.state.as_ref())
}

async fn read(pods: &Api<Pod>, log: &Log) -> String {
    let params = LogParams {
        container: Some(log.container.clone()),
        previous: log.previous,
        tail_lines: i64::try_from(LOG_LINES).ok(),
        limit_bytes: Some(LOG_BYTES),
        timestamps: true,
        ..LogParams::default()
    };
    match tokio::time::timeout(LOG_LIMIT, pods.logs(&log.pod, &params)).await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("cannot be read: {}\n", in_full(&error)),
        Err(_) => format!(
            "cannot be read: no answer within {} s\n",
            LOG_LIMIT.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mock::{Answer, Asked, Server};

    fn pod() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "1"},
            "status": {
                "initContainerStatuses": [status("prepare", &json!({"terminated": {"exitCode": 0}}))],
                "containerStatuses": [{
                    "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 2,
                    "state": {"running": {}},
                    "lastState": {"terminated": {"exitCode": 1}},
                }, status("stuck", &json!({"waiting": {"reason": "ImagePullBackOff"}}))],
            },
        })
    }

    fn status(name: &str, state: &Value) -> Value {
        json!({
            "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        })
    }

    fn event(uid: &str, message: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": uid, "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "uid": uid},
            "type": "Warning",
            "reason": "BackOff",
            "message": message,
        })
    }

    fn answer(asked: &Asked) -> Answer {
        match asked.path.as_str() {
            "/api/v1/namespaces/shop/pods" => Answer::list("Pod", &[pod()]),
            "/api/v1/namespaces/shop/events" => Answer::list(
                "Event",
                &[event("1", "of this pod"), event("2", "of another")],
            ),
            "/api/v1/namespaces/shop/pods/web-0/log" => {
                assert!(asked.query.contains("tailLines=200"), "{}", asked.query);
                if asked.query.contains("container=prepare") {
                    return Answer::refusal(500, "the node does not answer");
                }
                let previous = asked.query.contains("previous=true");
                Answer::text(if previous { "died\n" } else { "alive\n" })
            }
            other => panic!("nobody asks for {other}"),
        }
    }

    #[tokio::test]
    async fn the_state_events_and_logs_of_pods_are_kept_those_before_a_restart_too() {
        let server = Server::start(answer);
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        capture(server.client(), "shop", directory).await.unwrap();

        let told = fs_err::read_to_string(directory.join("shop.txt")).unwrap();
        assert!(told.contains("# pod web-0") && told.contains("ImagePullBackOff"));
        assert!(told.contains("event: Warning BackOff: of this pod"));
        assert!(!told.contains("of another"));
        let log = |file: &str| fs_err::read_to_string(directory.join("shop").join(file));
        assert_eq!(log("web-0.main.log").unwrap(), "alive\n");
        assert_eq!(log("web-0.main.previous.log").unwrap(), "died\n");
        let refused = log("web-0.prepare.log").unwrap();
        assert!(refused.contains("the node does not answer"), "{refused}");
        // It never ran, so that it wrote nothing.
        assert!(log("web-0.stuck.log").is_err());
    }
}

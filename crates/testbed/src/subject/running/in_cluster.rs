//! Starting a subject that is made by manifests, and taking it away.

use std::time::Duration;

use camino::Utf8Path;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::core::Selector;
use kube::runtime::wait::await_condition;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::error::StartError;
use super::super::model::Subject;
use super::super::placeholder::expand;
use super::super::rewrite::rewrite;
use super::super::start::{ManifestsStart, NfsSource, Settings, Workload};
use super::{StartOptions, SubjectEnd, TAIL, cannot_start, not_applied, pod_logs, readiness};
use crate::manifests::{self, Applied, ManifestError, documents};
use crate::process::tail;

/// How long its pods may take to be available: an image may have to be pulled by a node.
const AVAILABLE_LIMIT: Duration = Duration::from_mins(3);
/// How long it may take to become ready then.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// A subject in the cluster.
pub(super) struct InCluster {
    client: Client,
    applied: Vec<Applied>,
    pods: Pods,
    /// Follows the log of every pod.
    log: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for InCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InCluster")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// The pods of a workload.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    pub(super) namespace: String,
    /// A label selector, as the API takes it.
    pub(super) selector: String,
}

impl Pods {
    pub(super) fn api(&self, client: &Client) -> Api<Pod> {
        Api::namespaced(client.clone(), &self.namespace)
    }
}

/// Applies the manifests and ends when the workload is available and the subject ready.
pub(super) async fn start(
    options: &StartOptions<'_>,
    start: &ManifestsStart,
) -> Result<InCluster, StartError> {
    let StartOptions {
        subject, client, ..
    } = options;
    let applied = apply(options, start).await?;
    let Workload {
        namespace, name, ..
    } = &start.workload;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment = deployments
        .get(name)
        .await
        .map_err(|error| cannot_start(subject, error))?;
    let pods = Pods {
        namespace: namespace.clone(),
        selector: selector(&deployment),
    };
    let log = options.log();
    let follow = pod_logs::follow(client.clone(), pods.clone(), log.clone());
    let in_cluster = InCluster {
        client: client.clone(),
        applied,
        pods,
        log: AbortOnDropHandle::new(tokio::spawn(follow)),
    };

    let available = await_condition(deployments, name, is_available);
    let Ok(result) = timeout(AVAILABLE_LIMIT, available).await else {
        let pods = in_cluster.pods_in_words().await;
        let waited_for = format!("Deployment {namespace}/{name} is not available; {pods}");
        return Err(not_ready(subject, waited_for, AVAILABLE_LIMIT, &log));
    };
    result.map_err(|error| cannot_start(subject, error))?;
    if let Some(ready) = &start.ready {
        let (waited_for, until_ready) = readiness(options, ready);
        match timeout(READY_LIMIT, until_ready).await {
            Ok(result) => result.map_err(|error| cannot_start(subject, error))?,
            Err(_) => return Err(not_ready(subject, waited_for, READY_LIMIT, &log)),
        }
    }
    Ok(in_cluster)
}

/// Applies all files, the workload with what is set in it.
async fn apply(
    options: &StartOptions<'_>,
    start: &ManifestsStart,
) -> Result<Vec<Applied>, StartError> {
    let subject = options.subject;
    let mut objects = Vec::new();
    let mut files = Vec::new();
    for file in &start.files {
        let found =
            documents(&file.text).map_err(|error| not_applied(subject, file, error.into()))?;
        files.extend(found.iter().map(|_| file));
        objects.extend(found);
    }
    let refused = |text: String| cannot_start(subject, std::io::Error::other(text));
    let settings = filled(options, &start.set).map_err(refused)?;
    rewrite(&mut objects, &start.workload, &settings)
        .map_err(|error| refused(format!("`{}` {}", error.key, error.message)))?;
    let mut applied = Vec::new();
    for (object, file) in objects.iter().zip(files) {
        let result = manifests::apply_one(&options.client, object, &start.workload.namespace).await;
        applied.push(result.map_err(|error| not_applied(subject, file, error))?);
    }
    Ok(applied)
}

/// The settings with the testbed's values in the place of placeholders.
fn filled(options: &StartOptions<'_>, settings: &Settings) -> Result<Settings, String> {
    // No placeholder that names a path is allowed here.
    let value = |placeholder| options.value(placeholder, Utf8Path::new(""));
    let fill = |text: &String| expand(text, value).map_err(|error| format!("{text} {error}"));
    Ok(Settings {
        env: settings
            .env
            .iter()
            .map(|(name, text)| Ok((name.clone(), fill(text)?)))
            .collect::<Result<_, String>>()?,
        nfs: settings
            .nfs
            .iter()
            .map(|(name, NfsSource { server, path })| {
                let (server, path) = (fill(server)?, fill(path)?);
                Ok((name.clone(), NfsSource { server, path }))
            })
            .collect::<Result<_, String>>()?,
    })
}

impl InCluster {
    /// Ends when a container of a pod has ended.
    pub(super) fn container_ended(&self) -> impl Future<Output = SubjectEnd> + Send + use<> {
        let pods = self.pods.api(&self.client);
        let config = watcher::Config::default().labels(&self.pods.selector);
        async move {
            use futures::StreamExt as _;

            let changes = watcher(pods, config).default_backoff().applied_objects();
            let mut changes = std::pin::pin!(changes);
            while let Some(change) = changes.next().await {
                // The stream goes on after an error.
                if let Some(end) = change.ok().and_then(|pod| ended_container(&pod)) {
                    return end;
                }
            }
            std::future::pending().await
        }
    }

    /// Removes everything that was applied. The log is followed until it is gone.
    pub(super) async fn remove(self) -> Result<(), ManifestError> {
        let Self {
            client,
            applied,
            log,
            ..
        } = self;
        let removed = manifests::remove(&client, &applied).await;
        drop(log);
        removed
    }

    /// What the pods are doing, for an error.
    async fn pods_in_words(&self) -> String {
        let params = ListParams::default().labels(&self.pods.selector);
        match self.pods.api(&self.client).list(&params).await {
            Ok(pods) if pods.items.is_empty() => "it has no pod".to_owned(),
            Ok(pods) => {
                let pods: Vec<String> = pods.iter().map(in_words).collect();
                pods.join("; ")
            }
            Err(error) => format!("its pods cannot be listed: {error}"),
        }
    }
}

fn not_ready(subject: &Subject, waited_for: String, limit: Duration, log: &Utf8Path) -> StartError {
    StartError::NotReady {
        subject: subject.name.clone(),
        waited_for,
        limit,
        log: log.to_owned(),
        tail: tail(log, TAIL),
    }
}

/// The label selector of a Deployment's pods.
fn selector(deployment: &Deployment) -> String {
    let selector = deployment.spec.as_ref().map(|spec| spec.selector.clone());
    let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
    selector.unwrap_or_default().to_string()
}

/// Whether the Deployment's newest template runs in all its replicas, and no older one does
/// (as `kubectl rollout status` tells it).
fn is_available(deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else {
        return false;
    };
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.replicas.unwrap_or_default() == wanted
        && status.updated_replicas.unwrap_or_default() == wanted
        && status.available_replicas.unwrap_or_default() == wanted
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
}

/// A container of the pod that has ended, unless the pod was told to.
fn ended_container(pod: &Pod) -> Option<SubjectEnd> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    containers(pod).find_map(|container| {
        let states = [container.state.as_ref(), container.last_state.as_ref()];
        let ended = states
            .into_iter()
            .flatten()
            .find_map(|state| state.terminated.as_ref())?;
        Some(SubjectEnd::Container {
            pod: pod.name_any(),
            container: container.name.clone(),
            code: ended.exit_code,
            reason: ended.reason.clone().unwrap_or_default(),
        })
    })
}

/// `pod x is Pending, container y waits: ImagePullBackOff (...)`.
fn in_words(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let waiting = containers(pod).filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().unwrap_or("no reason given");
        let message = waiting.message.as_ref();
        let message = message.map_or_else(String::new, |message| format!(" ({message})"));
        let name = &container.name;
        Some(format!(", container {name} waits: {reason}{message}"))
    });
    format!(
        "pod {} is {}{}",
        pod.name_any(),
        phase.unwrap_or("new"),
        waiting.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case(json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), true)]
    // The controller has not seen the newest template.
    #[case(json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}), false)]
    // The pod of an older template is still there.
    #[case(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}), false)]
    #[case(json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}), false)]
    #[case(Value::Null, false)]
    fn a_deployment_is_available_when_its_newest_pods_are(
        #[case] status: Value,
        #[case] expected: bool,
    ) {
        let deployment = serde_json::from_value(json!({
            "metadata": {"generation": 2},
            "spec": {"selector": {}, "template": {}, "replicas": 1},
            "status": status,
        }))
        .unwrap();
        assert_eq!(is_available(Some(&deployment)), expected);
        assert!(!is_available(None));
    }

    #[test]
    fn pods_are_found_by_all_of_a_selector() {
        let deployment = serde_json::from_value(json!({
            "spec": {"template": {}, "selector": {
                "matchLabels": {"app": "x"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
            }},
        }))
        .unwrap();
        assert_eq!(selector(&deployment), "app=x,tier in (a,b)");
    }

    fn pod(status: &Value, ending: bool) -> Pod {
        let deleted = ending.then_some("2026-11-22T00:00:00Z");
        serde_json::from_value(json!({
            "metadata": {"name": "p", "deletionTimestamp": deleted},
            "status": {"phase": "Pending", "containerStatuses": [status]},
        }))
        .unwrap()
    }

    #[test]
    fn a_container_that_was_started_again_is_told_and_a_pod_that_was_deleted_is_not() {
        let again = json!({
            "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        });
        let end = ended_container(&pod(&again, false)).unwrap();
        assert_eq!(
            end.to_string(),
            "container c of pod p: OOMKilled, exit code 137"
        );
        assert_eq!(ended_container(&pod(&again, true)), None);
        let running = json!({
            "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}},
        });
        assert_eq!(ended_container(&pod(&running, false)), None);
    }

    #[test]
    fn what_a_pod_waits_for_is_told() {
        let waiting = json!({
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
        });
        assert_eq!(
            in_words(&pod(&waiting, false)),
            "pod p is Pending, container c waits: ErrImagePull (not found)"
        );
    }
}

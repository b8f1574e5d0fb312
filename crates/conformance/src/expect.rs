//! Waiting for a condition: every wait is a watch, has a name and a limit, and a failure carries the
//! last state seen.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::trouble::{CaseResult, Trouble};

/// What can be watched.
pub trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// A wait: what is waited for, and for how long.
#[derive(Clone, Debug)]
pub struct Wait {
    /// A fragment that completes "expected": `claim data is Bound`.
    pub what: String,
    /// Name of the limit.
    pub limit: &'static str,
    /// Its value.
    pub duration: Duration,
}

impl Wait {
    fn expected(&self) -> String {
        format!("{} within {} s (limit {})", self.what, self.duration.as_secs(), self.limit)
    }
}

/// The objects of a collection, by `namespace/name`, or `name` where there is no namespace.
pub type Snapshot<K> = BTreeMap<String, K>;

/// Watches the object `name` until `judge` returns a value; `None` means that there is no such
/// object.
///
/// # Errors
/// Failed with the last state when the limit passes; inconclusive when the object could not be
/// watched at all.
pub async fn eventually<K: Watched, T>(
    wait: &Wait,
    api: Api<K>,
    name: &str,
    mut judge: impl FnMut(Option<&K>) -> Option<T>,
) -> CaseResult<T> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    eventually_among(wait, api, config, |objects| judge(objects.values().next())).await
}

/// Watches a collection until `judge` returns a value.
///
/// # Errors
/// As [`eventually`].
pub async fn eventually_among<K: Watched, T>(
    wait: &Wait,
    api: Api<K>,
    config: watcher::Config,
    mut judge: impl FnMut(&Snapshot<K>) -> Option<T>,
) -> CaseResult<T> {
    let mut last = None;
    let mut trouble = None;
    let watching = async {
        let mut snapshots = std::pin::pin!(snapshots(api, config));
        loop {
            match snapshots.next().await {
                Some(Ok(objects)) => {
                    if let Some(value) = judge(&objects) {
                        return value;
                    }
                    last = Some(objects);
                }
                // The stream backs off and lists again by itself.
                Some(Err(error)) => trouble = Some(error.to_string()),
                None => std::future::pending().await,
            }
        }
    };
    if let Ok(value) = tokio::time::timeout(wait.duration, watching).await {
        return Ok(value);
    }
    match (last, trouble) {
        (Some(objects), _) => {
            let failure = Trouble::failed(wait.expected(), state_of(&objects));
            Err(objects.values().fold(failure, |failure, object| failure.with_evidence(text(object))))
        }
        (None, trouble) => Err(Trouble::inconclusive(format!(
            "{} could not be watched: {}",
            wait.what,
            trouble.as_deref().unwrap_or("no answer")
        ))),
    }
}

/// The state of a collection after each change, the first one once it is complete.
fn snapshots<K: Watched>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Snapshot<K>, watcher::Error>> {
    let mut objects = Snapshot::new();
    let mut listed = Snapshot::new();
    watcher(api, config).default_backoff().try_filter_map(move |event| {
        let changed = apply(&mut objects, &mut listed, event);
        std::future::ready(Ok(changed.then(|| objects.clone())))
    })
}

/// Applies one event; whether the collection is complete and may have changed.
fn apply<K: Watched>(
    objects: &mut Snapshot<K>,
    listed: &mut Snapshot<K>,
    event: watcher::Event<K>,
) -> bool {
    match event {
        watcher::Event::Init => {
            listed.clear();
            false
        }
        watcher::Event::InitApply(object) => {
            listed.insert(key(&object), object);
            false
        }
        watcher::Event::InitDone => {
            *objects = std::mem::take(listed);
            true
        }
        watcher::Event::Apply(object) => {
            objects.insert(key(&object), object);
            true
        }
        watcher::Event::Delete(object) => {
            objects.remove(&key(&object));
            true
        }
    }
}

fn key<K: Resource<DynamicType = ()>>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

/// One change of an object, as a watch showed it.
#[derive(Clone, Debug)]
pub struct Change<K> {
    /// When the suite saw it.
    pub at: Instant,
    /// The object: as it is now, or as it was last.
    pub object: K,
    /// Whether it is gone.
    pub gone: bool,
}

/// Everything that happened to a collection since the recording began.
pub struct Recording<K> {
    changes: Arc<Mutex<Vec<Change<K>>>>,
    _task: AbortOnDropHandle<()>,
}

impl<K: Watched> Recording<K> {
    /// Starts recording; when this returns, nothing that happens is missed.
    ///
    /// # Errors
    /// Inconclusive when the collection cannot be listed within `limit`.
    pub async fn start(
        api: Api<K>,
        config: watcher::Config,
        limit: Duration,
    ) -> CaseResult<Self> {
        let changes = Arc::new(Mutex::new(Vec::new()));
        let (ready, mut is_ready) = watch::channel(false);
        let sink = Arc::clone(&changes);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff());
            while let Some(event) = events.next().await {
                let at = Instant::now();
                let (object, gone) = match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        (object, false)
                    }
                    Ok(watcher::Event::Delete(object)) => (object, true),
                    Ok(watcher::Event::InitDone) => {
                        ready.send_replace(true);
                        continue;
                    }
                    Ok(watcher::Event::Init) | Err(_) => continue,
                };
                sink.lock().expect("no holder panics").push(Change { at, object, gone });
            }
        });
        let recording = Self { changes, _task: AbortOnDropHandle::new(task) };
        match tokio::time::timeout(limit, is_ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => Ok(recording),
            _ => Err(Trouble::inconclusive("a recording of objects did not start in time")),
        }
    }

    /// What happened so far, in order.
    pub fn changes(&self) -> Vec<Change<K>> {
        self.changes.lock().expect("no holder panics").clone()
    }
}

/// A collection in one line: how many, and the phase of each.
fn state_of<K: Watched>(objects: &Snapshot<K>) -> String {
    if objects.is_empty() {
        return format!("there is no such {}", K::kind(&()).to_lowercase());
    }
    objects
        .iter()
        .map(|(key, object)| {
            let value = serde_json::to_value(object).unwrap_or_default();
            let phase = value.pointer("/status/phase").and_then(|phase| phase.as_str());
            let reason = value.pointer("/reason").and_then(|reason| reason.as_str());
            let deleting = object.meta().deletion_timestamp.is_some();
            format!(
                "{} {key}{}{}{}",
                K::kind(&()).to_lowercase(),
                phase.map(|phase| format!(" in phase {phase}")).unwrap_or_default(),
                reason.map(|reason| format!(" with reason {reason}")).unwrap_or_default(),
                if deleting { ", being deleted" } else { "" }
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// An object as YAML-like JSON, without what only the API server needs.
pub fn text<K: Watched>(object: &K) -> String {
    let mut object = object.clone();
    object.meta_mut().managed_fields = None;
    serde_json::to_string_pretty(&object).unwrap_or_else(|error| format!("cannot be shown: {error}"))
}

//! Waiting for a condition: every wait is a watch, has a name and a limit, and a failure carries the
//! last state seen.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{Api, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::trouble::{CaseResult, Trouble, in_full};

/// How long the read at the end of a wait may take.
const LIVE_READ: Duration = Duration::from_secs(10);
/// How many objects a failure shows in full.
const SHOWN: usize = 5;

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
        format!(
            "{} within {} s (limit {})",
            self.what,
            self.duration.as_secs(),
            self.limit
        )
    }
}

/// The objects of a collection, by `namespace/name`, or `name` where there is no namespace.
pub type Snapshot<K> = BTreeMap<String, K>;

/// Watches the object `name` until `judge` returns a value; `None` means that there is no such
/// object.
///
/// # Errors
/// Failed with the state read when the limit has passed; inconclusive when it cannot be read then. A
/// limit is a tolerance: a state that is there at that moment counts.
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
    let mut trouble = None;
    let params = ListParams {
        label_selector: config.label_selector.clone(),
        field_selector: config.field_selector.clone(),
        ..ListParams::default()
    };
    let watched = api.clone();
    let watching = async {
        let mut snapshots = std::pin::pin!(snapshots(watched, config));
        loop {
            match snapshots.next().await {
                Some(Ok(objects)) => {
                    if let Some(value) = judge(&objects) {
                        return value;
                    }
                }
                // The stream backs off and lists again by itself.
                Some(Err(error)) => trouble = Some(in_full(&error)),
                None => std::future::pending().await,
            }
        }
    };
    if let Ok(value) = tokio::time::timeout(wait.duration, watching).await {
        return Ok(value);
    }
    // A watch that is silent may be one that is broken: the verdict rests on a live read.
    let objects: Snapshot<K> = match tokio::time::timeout(LIVE_READ, api.list(&params)).await {
        Ok(Ok(list)) => list
            .into_iter()
            .map(|object| (key(&object), object))
            .collect(),
        Ok(Err(error)) => return Err(unwatched(wait, &trouble.unwrap_or_else(|| in_full(&error)))),
        Err(_) => return Err(unwatched(wait, trouble.as_deref().unwrap_or("no answer"))),
    };
    if let Some(value) = judge(&objects) {
        return Ok(value);
    }
    let mut failure = Trouble::failed(wait.expected(), state_of(&objects));
    for object in objects.values().take(SHOWN) {
        failure = failure.with_evidence(text(object));
    }
    Err(failure)
}

fn unwatched(wait: &Wait, cause: &str) -> Trouble {
    Trouble::inconclusive(format!("whether {} cannot be told: {cause}", wait.what))
}

/// The state of a collection after each change, the first one once it is complete.
fn snapshots<K: Watched>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Snapshot<K>, watcher::Error>> {
    let mut objects = Snapshot::new();
    let mut listed = Snapshot::new();
    watcher(api, config)
        .default_backoff()
        .try_filter_map(move |event| {
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
    log: Arc<Mutex<Log<K>>>,
    _task: AbortOnDropHandle<()>,
}

/// What a recording holds.
struct Log<K> {
    changes: Vec<Change<K>>,
    present: Snapshot<K>,
    listed: Option<Snapshot<K>>,
    lists: usize,
}

impl<K: Watched> Log<K> {
    /// Notes one event. A second list after the first says that the watch was cut: what went in
    /// between is noted as gone, and what happened in between is lost.
    fn note(&mut self, event: watcher::Event<K>) {
        let at = Instant::now();
        match event {
            watcher::Event::Init => self.listed = Some(Snapshot::new()),
            watcher::Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(key(&object), object.clone());
                }
                self.changes.push(Change {
                    at,
                    object,
                    gone: false,
                });
            }
            watcher::Event::InitDone => {
                self.lists += 1;
                let listed = self.listed.take().unwrap_or_default();
                let before = std::mem::replace(&mut self.present, listed);
                for (name, object) in before {
                    if !self.present.contains_key(&name) {
                        self.changes.push(Change {
                            at,
                            object,
                            gone: true,
                        });
                    }
                }
            }
            watcher::Event::Apply(object) => {
                self.present.insert(key(&object), object.clone());
                self.changes.push(Change {
                    at,
                    object,
                    gone: false,
                });
            }
            watcher::Event::Delete(object) => {
                self.present.remove(&key(&object));
                self.changes.push(Change {
                    at,
                    object,
                    gone: true,
                });
            }
        }
    }
}

impl<K: Watched> Recording<K> {
    /// Starts recording; when this returns, nothing that happens is missed, unless the watch is
    /// cut: [`Recording::complete`] tells.
    ///
    /// # Errors
    /// Inconclusive when the collection cannot be listed within `limit`.
    pub async fn start(api: Api<K>, config: watcher::Config, limit: Duration) -> CaseResult<Self> {
        let log = Log {
            changes: Vec::new(),
            present: Snapshot::new(),
            listed: None,
            lists: 0,
        };
        let log = Arc::new(Mutex::new(log));
        let (ready, mut is_ready) = watch::channel(false);
        let sink = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config).default_backoff());
            while let Some(event) = events.next().await {
                // After an error the stream goes on where it was, or lists again.
                let Ok(event) = event else { continue };
                let done = matches!(event, watcher::Event::InitDone);
                sink.lock().expect("no holder panics").note(event);
                if done {
                    ready.send_replace(true);
                }
            }
        });
        let recording = Self {
            log,
            _task: AbortOnDropHandle::new(task),
        };
        match tokio::time::timeout(limit, is_ready.wait_for(|ready| *ready)).await {
            Ok(Ok(_)) => Ok(recording),
            _ => Err(Trouble::inconclusive(
                "a recording of objects did not start in time",
            )),
        }
    }

    /// What happened so far, in order.
    pub fn changes(&self) -> Vec<Change<K>> {
        self.log.lock().expect("no holder panics").changes.clone()
    }

    /// Nothing was missed so far. Ask it before a verdict rests on what the recording does not show.
    ///
    /// # Errors
    /// Inconclusive when the watch was cut, so that changes may be missing.
    pub fn complete(&self) -> CaseResult {
        match self.log.lock().expect("no holder panics").lists {
            1 => Ok(()),
            _ => Err(Trouble::inconclusive(format!(
                "the recording of {} was cut: changes may be missing",
                K::plural(&())
            ))),
        }
    }
}

/// A collection in one line: how many, and the phase of each.
fn state_of<K: Watched>(objects: &Snapshot<K>) -> String {
    if objects.is_empty() {
        return format!("there is no such {}", K::kind(&()).to_lowercase());
    }
    let mut states: Vec<String> = objects
        .iter()
        .take(SHOWN)
        .map(|(key, object)| {
            let value = serde_json::to_value(object).unwrap_or_default();
            let phase = value
                .pointer("/status/phase")
                .and_then(|phase| phase.as_str());
            let reason = value.pointer("/reason").and_then(|reason| reason.as_str());
            let deleting = object.meta().deletion_timestamp.is_some();
            format!(
                "{} {key}{}{}{}",
                K::kind(&()).to_lowercase(),
                phase
                    .map(|phase| format!(" in phase {phase}"))
                    .unwrap_or_default(),
                reason
                    .map(|reason| format!(" with reason {reason}"))
                    .unwrap_or_default(),
                if deleting { ", being deleted" } else { "" }
            )
        })
        .collect();
    if objects.len() > SHOWN {
        states.push(format!("and {} more", objects.len() - SHOWN));
    }
    states.join("; ")
}

/// An object as YAML-like JSON, without what only the API server needs.
pub fn text<K: Watched>(object: &K) -> String {
    let mut object = object.clone();
    object.meta_mut().managed_fields = None;
    serde_json::to_string_pretty(&object)
        .unwrap_or_else(|error| format!("cannot be shown: {error}"))
}

#[cfg(test)]
mod tests;

//! What a case gets: a client, a namespace, the subject's class, a view of the export, limits, and
//! a tracker that takes away what the case makes.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, Resource};
use testbed::nfs::view::ExportView;

use crate::expect::{self, Recording, Snapshot, Wait, Watched};
use crate::limits::Limit;
use crate::subject::Subject;
use crate::tracker::Tracker;
use crate::trouble::CaseResult;

pub mod claim;
pub mod class;
pub mod cleanup;
mod consumer;
pub mod data;
pub mod default_class;
pub mod dns;
pub mod events;
pub mod exec;
pub mod export;
pub mod holds;
pub mod layout;
pub mod manifests;
pub mod mounts;
pub mod nodes;
mod pattern;
pub mod pods;
pub mod volume;
pub mod workload;

/// What every world of a run shares.
#[derive(Clone)]
pub struct Ground {
    /// A client with all rights.
    pub client: Client,
    /// The subject.
    pub subject: Arc<Subject>,
    /// The export, over the protocol and from behind.
    pub export: ExportView,
    /// What the testbed is: cluster, export, processes.
    pub state: Arc<testbed::state::State>,
}

/// One entry of a case's timeline.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// Milliseconds since the case began.
    pub t_ms: u64,
    /// What it happened to: `claim data`, `volume`, `export`.
    pub lane: String,
    /// What happened.
    pub what: String,
}

/// The surroundings of one case.
pub struct World {
    pub(crate) ground: Ground,
    pub(crate) case: &'static str,
    pub(crate) namespace: String,
    /// Suffix of the names of cluster-scoped objects.
    pub(crate) tag: String,
    pub(crate) own_namespace: bool,
    pub(crate) tracker: Tracker,
    /// What was in the namespace before, where it is not the case's own.
    pub(crate) baseline: OnceLock<cleanup::Baseline>,
    server_killed: nodes::Killed,
    started: Instant,
    timeline: Mutex<Vec<Mark>>,
    samples: Mutex<Vec<(&'static str, Duration)>>,
}

impl World {
    /// A world for the case `id`; without a given namespace it has one of its own, which must be
    /// made with [`World::prepare`].
    pub(crate) fn new(ground: Ground, case: &'static str, namespace: Option<&str>) -> Self {
        let tag: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(6)
            .collect();
        let own = format!("cc-{}-{tag}", case.to_lowercase());
        Self {
            ground,
            case,
            own_namespace: namespace.is_none(),
            namespace: namespace.map_or(own, str::to_owned),
            tag,
            tracker: Tracker::default(),
            baseline: OnceLock::new(),
            server_killed: nodes::Killed::default(),
            started: Instant::now(),
            timeline: Mutex::default(),
            samples: Mutex::default(),
        }
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.ground.client.clone()
    }

    /// The subject.
    pub fn subject(&self) -> &Subject {
        &self.ground.subject
    }

    /// The testbed.
    pub fn testbed(&self) -> &testbed::state::State {
        &self.ground.state
    }

    /// The namespace that the case works in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `name` made unique in the cluster, for cluster-scoped objects of this case.
    pub fn unique(&self, name: &str) -> String {
        format!("cc-{}-{name}-{}", self.case.to_lowercase(), self.tag)
    }

    /// The namespaced objects of one kind.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// The cluster-scoped objects of one kind.
    pub fn cluster_api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>,
    {
        Api::all(self.client())
    }

    /// A wait for `what`, as long as `limit` says.
    pub fn wait(&self, what: impl Into<String>, limit: Limit) -> Wait {
        Wait {
            what: what.into(),
            limit: limit.name(),
            duration: self.ground.subject.limits.of(limit),
        }
    }

    /// How long `limit` is here.
    pub fn limit(&self, limit: Limit) -> Duration {
        self.ground.subject.limits.of(limit)
    }

    /// Waits until `judge` gives a value for the object of this name in the case's namespace.
    ///
    /// # Errors
    /// As [`expect::eventually`].
    pub async fn eventually<K, T>(
        &self,
        name: &str,
        what: impl Into<String>,
        limit: Limit,
        judge: impl FnMut(Option<&K>) -> Option<T>,
    ) -> CaseResult<T>
    where
        K: Watched + Resource<Scope = NamespaceResourceScope>,
    {
        expect::eventually(&self.wait(what, limit), self.api::<K>(), name, judge).await
    }

    /// Waits until `judge` gives a value for all objects of a kind in the case's namespace.
    ///
    /// # Errors
    /// As [`expect::eventually_among`].
    pub async fn eventually_all<K, T>(
        &self,
        what: impl Into<String>,
        limit: Limit,
        judge: impl FnMut(&Snapshot<K>) -> Option<T>,
    ) -> CaseResult<T>
    where
        K: Watched + Resource<Scope = NamespaceResourceScope>,
    {
        let wait = self.wait(what, limit);
        expect::eventually_among(&wait, self.api::<K>(), watcher::Config::default(), judge).await
    }

    /// Records everything that happens to one kind in the case's namespace from now on.
    ///
    /// # Errors
    /// As [`Recording::start`].
    pub async fn record<K>(&self) -> CaseResult<Recording<K>>
    where
        K: Watched + Resource<Scope = NamespaceResourceScope>,
    {
        let limit = self.limit(Limit::ControlPlane);
        Recording::start(self.api::<K>(), watcher::Config::default(), limit).await
    }

    /// Notes on the timeline that `what` happened to `lane`.
    pub fn mark(&self, lane: impl Into<String>, what: impl Into<String>) {
        let t_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mark = Mark {
            t_ms,
            lane: lane.into(),
            what: what.into(),
        };
        tracing::debug!(case = self.case, lane = mark.lane, "{}", mark.what);
        self.timeline.lock().expect("no holder panics").push(mark);
    }

    /// Notes how long a phase took, for the percentiles of the report.
    pub fn sample(&self, phase: &'static str, took: Duration) {
        self.samples
            .lock()
            .expect("no holder panics")
            .push((phase, took));
    }

    pub(crate) fn take_timeline(&self) -> Vec<Mark> {
        std::mem::take(&mut self.timeline.lock().expect("no holder panics"))
    }

    pub(crate) fn take_samples(&self) -> Vec<(&'static str, Duration)> {
        std::mem::take(&mut self.samples.lock().expect("no holder panics"))
    }
}

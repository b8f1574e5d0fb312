//! Taking away what a case made, and finding what it left: nothing may stay behind unnamed.
//!
//! Everything is tried, whatever failed before it, and each thing has a limit of its own. What was
//! there before the case is never touched.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{World, default_class, holds};
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble};

mod baseline;
mod leaks;

pub(crate) use baseline::Baseline;

/// How long one request of the clean-up may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long the removal of one directory with all that is in it may take.
const TREE_LIMIT: Duration = Duration::from_secs(30);
/// How long the start of a killed NFS server may take; its own limit is shorter.
const SERVER_LIMIT: Duration = Duration::from_mins(2);
/// How long the clean-up of an interrupted case may wait: somebody is waiting too.
const INTERRUPTED_LIMIT: Duration = Duration::from_secs(10);

/// Something that a case left behind without naming it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// `volume` or `directory`.
    pub kind: String,
    /// Its name; a directory's is relative to the export's root.
    pub name: String,
    /// The case it is charged to.
    pub case: String,
}

impl Leak {
    pub(crate) fn new(kind: &str, name: &str, case: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            case: case.to_owned(),
        }
    }
}

/// What is known of a case once its claims are deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settled {
    /// What it left unnamed.
    pub(crate) leaks: Vec<Leak>,
    /// How the left-over objects look.
    pub(crate) evidence: Vec<String>,
    /// What could not be done or told.
    pub(crate) troubles: Vec<String>,
}

/// How long a clean-up waits for what is not its own doing: as long as the limits say, but not much
/// longer than an interruption.
#[derive(Debug)]
pub(crate) struct Patience {
    interrupted: CancellationToken,
    /// How long it lasts beyond an interruption.
    grace: Duration,
    deadline: OnceCell<Instant>,
}

impl Patience {
    /// Patience until `interrupted` is cancelled, and a little longer.
    pub(crate) fn new(interrupted: CancellationToken) -> Self {
        Self {
            interrupted,
            grace: INTERRUPTED_LIMIT,
            deadline: OnceCell::new(),
        }
    }

    /// The result of `wait`, unless patience ends before.
    async fn with<T>(&self, wait: impl Future<Output = CaseResult<T>>) -> CaseResult<T> {
        tokio::select! {
            biased;
            done = wait => done,
            () = self.ends() => Err(Trouble::inconclusive("interrupted")),
        }
    }

    async fn ends(&self) {
        self.interrupted.cancelled().await;
        let deadline = async || Instant::now() + self.grace;
        tokio::time::sleep_until(*self.deadline.get_or_init(deadline).await).await;
    }
}

/// Does one thing of a clean-up: what goes wrong is noted, and the next thing can be tried.
async fn attempt<T>(
    troubles: &mut Vec<String>,
    what: impl Into<String>,
    limit: Duration,
    work: impl Future<Output = CaseResult<T>>,
) -> Option<T> {
    let what = what.into();
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(Trouble::Inconclusive(cause))) => troubles.push(format!("{what}: {cause}")),
        Ok(Err(failed)) => troubles.push(format!("{what}: {failed}")),
        Err(_) => troubles.push(format!("{what}: no answer within {} s", limit.as_secs())),
    }
    None
}

impl World {
    /// Makes the case's namespace, and waits until pods can be created in it; or notes what is in
    /// the namespace already.
    pub(crate) async fn prepare(&self) -> CaseResult {
        if !self.own_namespace {
            let baseline = Baseline::of(self).await?;
            return self
                .baseline
                .set(baseline)
                .map_err(|_| Trouble::inconclusive("the case was prepared twice"));
        }
        let namespace = Namespace {
            metadata: kube::core::ObjectMeta {
                name: Some(self.namespace.clone()),
                labels: Some([("claimcheck.dev/case".to_owned(), self.case.to_owned())].into()),
                ..Default::default()
            },
            ..Namespace::default()
        };
        self.cluster_api::<Namespace>()
            .create(&PostParams::default(), &namespace)
            .await?;
        let what = format!("namespace {} has its service account", self.namespace);
        let ready = self.eventually("default", what, Limit::ControlPlane, |account| {
            account.map(|_: &ServiceAccount| ())
        });
        ready
            .await
            .map_err(|trouble| Trouble::inconclusive(trouble.to_string()))
    }

    /// Puts the default class back as it was, and the NFS server back to work; returns what went
    /// wrong.
    pub(crate) async fn give_back(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let served = self.restore_server();
        attempt(&mut troubles, "the NFS server", SERVER_LIMIT, served).await;
        let restored = async { Ok(default_class::restore(self.client()).await?) };
        attempt(&mut troubles, "the default class", REQUEST_LIMIT, restored).await;
        troubles
    }

    /// Deletes the case's objects but its volumes and classes, waits until the claims are gone, and
    /// finds what stays unnamed.
    pub(crate) async fn settle(&self, patience: &Patience) -> Settled {
        // First: it is not the case's own.
        let mut troubles = self.give_back().await;
        let tracked = self.tracker.newest_first();
        for thing in &tracked {
            if let Tracked::Object { kind, name, .. } = thing
                && !matches!(kind, Kind::Volume | Kind::Class)
            {
                let what = format!("{kind:?} {name}");
                attempt(
                    &mut troubles,
                    what,
                    REQUEST_LIMIT,
                    self.delete_tracked(thing, self.grace()),
                )
                .await;
            }
        }
        self.delete_stragglers(&mut troubles, self.grace()).await;
        let mut settled = Settled::default();
        match patience.with(self.claims_gone()).await {
            Ok(()) => settled = self.leaks(&tracked, patience).await,
            // Volumes of claims that are still there are no leaks.
            Err(Trouble::Inconclusive(cause)) => troubles.push(cause),
            Err(failed) => troubles.push(failed.to_string()),
        }
        troubles.append(&mut settled.troubles);
        Settled {
            troubles,
            ..settled
        }
    }

    /// Removes everything that is left, in reverse order: what is tracked, what was found, and the
    /// namespace; returns what went wrong.
    pub(crate) async fn remove(&self, settled: &Settled) -> Vec<String> {
        let mut troubles = Vec::new();
        for thing in &self.tracker.newest_first() {
            match thing {
                Tracked::Object { kind, name, .. } => {
                    let what = format!("{kind:?} {name}");
                    attempt(
                        &mut troubles,
                        what,
                        REQUEST_LIMIT,
                        self.delete_tracked(thing, 0),
                    )
                    .await;
                }
                Tracked::Directory(path) => self.remove_tree(&mut troubles, path).await,
            }
        }
        for leak in &settled.leaks {
            if leak.kind == "volume" {
                let what = format!("volume {}", leak.name);
                let removed = self.remove_volume(&leak.name);
                attempt(&mut troubles, what, REQUEST_LIMIT, removed).await;
            } else {
                self.remove_tree(&mut troubles, &leak.name).await;
            }
        }
        // Also those that a controller made after they were looked for, with a hold.
        self.delete_stragglers(&mut troubles, 0).await;
        if self.own_namespace {
            // Parents of what was removed, and what an interruption left no time to look for.
            let listed = async { Ok(self.entries().await?) };
            let entries = attempt(&mut troubles, "the export", REQUEST_LIMIT, listed).await;
            for entry in entries.into_iter().flatten() {
                if self.bears_our_name(&entry) {
                    self.remove_tree(&mut troubles, &entry).await;
                }
            }
            let api = self.cluster_api::<Namespace>();
            let what = format!("namespace {}", self.namespace);
            attempt(
                &mut troubles,
                what,
                REQUEST_LIMIT,
                delete(&api, &self.namespace),
            )
            .await;
        }
        troubles
    }

    /// How many seconds a pod of the case gets to end: on a simulated node there is nothing to end.
    /// On a real one 0 would take the object away while its containers still use the volumes.
    fn grace(&self) -> u32 {
        u32::from(self.real_nodes())
    }

    /// Deletes a tracked object, unless somebody else's of that name was there before.
    async fn delete_tracked(&self, thing: &Tracked, grace: u32) -> CaseResult {
        let Tracked::Object {
            kind,
            namespace,
            name,
        } = thing
        else {
            return Ok(());
        };
        if self.was_there(*kind, name) {
            return Ok(());
        }
        match kind {
            Kind::StatefulSet => delete(&self.in_namespace::<StatefulSet>(namespace), name).await,
            Kind::Pod => delete_pod(&self.in_namespace::<Pod>(namespace), name, grace).await,
            Kind::Service => delete(&self.in_namespace::<Service>(namespace), name).await,
            Kind::Claim => {
                delete(&self.in_namespace::<PersistentVolumeClaim>(namespace), name).await
            }
            Kind::Volume => self.remove_volume(name).await,
            Kind::Class => delete(&self.cluster_api::<StorageClass>(), name).await,
        }
    }

    fn in_namespace<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// Deletes what others made for the case: the pods of its sets, and in a namespace of its own
    /// every pod and claim. A claim stays while a pod uses it, so no pod may be held any longer.
    async fn delete_stragglers(&self, troubles: &mut Vec<String>, grace: u32) {
        let pods = self.api::<Pod>();
        let listed = async { Ok(pods.list(&ListParams::default()).await?) };
        let found = attempt(troubles, "the pods", REQUEST_LIMIT, listed).await;
        for pod in found.into_iter().flatten().filter(|pod| self.owns_pod(pod)) {
            let name = pod.name_any();
            let deleted = async {
                if holds::is_held(&pod) {
                    holds::release(&pods, &name).await?;
                }
                delete_pod(&pods, &name, grace).await
            };
            attempt(troubles, format!("Pod {name}"), REQUEST_LIMIT, deleted).await;
        }
        if !self.own_namespace {
            return;
        }
        let claims = self.api::<PersistentVolumeClaim>();
        let listed = async { Ok(claims.list(&ListParams::default()).await?) };
        let found = attempt(troubles, "the claims", REQUEST_LIMIT, listed).await;
        for claim in found.into_iter().flatten() {
            let name = claim.name_any();
            let deleted = delete(&claims, &name);
            attempt(troubles, format!("Claim {name}"), REQUEST_LIMIT, deleted).await;
        }
    }

    async fn claims_gone(&self) -> CaseResult {
        let what = format!("the claims of {} are gone", self.namespace);
        // A claim goes after the last pod that uses it.
        let limit = if self.real_nodes() {
            Limit::Pod
        } else {
            Limit::ControlPlane
        };
        self.eventually_all::<PersistentVolumeClaim, _>(what, limit, |claims| {
            claims
                .values()
                .all(|claim| !self.owns_claim(&claim.name_any()))
                .then_some(())
        })
        .await
    }

    async fn remove_tree(&self, troubles: &mut Vec<String>, path: &str) {
        if self.entry_was_there(path) {
            return;
        }
        let removed = async { Ok(self.export().remove_tree(path).await?) };
        attempt(troubles, format!("directory {path}"), TREE_LIMIT, removed).await;
    }

    /// Removes a volume object whatever holds it: nobody is to reclaim it any more.
    async fn remove_volume(&self, name: &str) -> CaseResult {
        let api = self.cluster_api::<PersistentVolume>();
        if api.get_opt(name).await?.is_none() {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"finalizers": null},
            "spec": {"persistentVolumeReclaimPolicy": "Retain"},
        });
        match api
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        delete(&api, name).await
    }
}

async fn delete<K>(api: &Api<K>, name: &str) -> CaseResult
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    ignore_missing(api.delete(name, &params).await.map(drop))
}

/// Deletes a pod with `grace` seconds to end, whatever the pod itself would have.
async fn delete_pod(pods: &Api<Pod>, name: &str, grace: u32) -> CaseResult {
    let params = DeleteParams {
        grace_period_seconds: Some(grace),
        ..DeleteParams::default()
    };
    ignore_missing(pods.delete(name, &params).await.map(drop))
}

fn ignore_missing(result: Result<(), kube::Error>) -> CaseResult {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests;

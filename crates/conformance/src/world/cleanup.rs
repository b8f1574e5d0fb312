//! Taking away what a case made, and finding what it left: nothing may stay behind unnamed.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Namespace, PersistentVolume, PersistentVolumeClaim, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{World, default_class};
use crate::expect::{self, Wait};
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble};

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

impl World {
    /// Makes the case's namespace, and waits until pods can be created in it.
    pub(crate) async fn prepare(&self) -> CaseResult {
        if !self.own_namespace {
            return Ok(());
        }
        let namespace = Namespace {
            metadata: kube::core::ObjectMeta {
                name: Some(self.namespace.clone()),
                labels: Some([("claimcheck.dev/case".to_owned(), self.case.to_owned())].into()),
                ..Default::default()
            },
            ..Namespace::default()
        };
        self.cluster_api::<Namespace>().create(&PostParams::default(), &namespace).await?;
        let what = format!("namespace {} has its service account", self.namespace);
        let ready = self.eventually("default", what, Limit::ControlPlane, |account| {
            account.map(|_: &ServiceAccount| ())
        });
        ready.await.map_err(|trouble| Trouble::inconclusive(trouble.to_string()))
    }

    /// Removes everything the case made, in reverse order, and returns what it left unnamed.
    ///
    /// # Errors
    /// Inconclusive when something of the suite's own cannot be removed.
    pub(crate) async fn clean_up(&self) -> CaseResult<Vec<Leak>> {
        let tracked = self.tracker.newest_first();
        for thing in &tracked {
            if let Tracked::Object { kind, namespace, name } = thing
                && !matches!(kind, Kind::Volume | Kind::Class)
            {
                self.delete_tracked(*kind, namespace, name).await?;
            }
        }
        self.claims_gone().await?;
        let leaks = self.leaks(&tracked).await?;
        for thing in &tracked {
            match thing {
                Tracked::Object { kind, namespace, name } => {
                    self.delete_tracked(*kind, namespace, name).await?;
                }
                Tracked::Directory(path) => self.export().remove_tree(path).await?,
            }
        }
        for leak in &leaks {
            self.remove_leak(leak).await?;
        }
        default_class::restore(self.client()).await?;
        if self.own_namespace {
            delete(&self.cluster_api::<Namespace>(), &self.namespace).await?;
        }
        Ok(leaks)
    }

    async fn delete_tracked(&self, kind: Kind, namespace: &str, name: &str) -> CaseResult {
        match kind {
            Kind::StatefulSet => delete(&self.in_namespace::<StatefulSet>(namespace), name).await,
            Kind::Pod => {
                // A pod of a case may hold on to its end on purpose.
                let api = self.in_namespace::<Pod>(namespace);
                delete_now(&api, name).await
            }
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

    /// Pods that a set left, then claims: a claim stays while a pod uses it.
    async fn claims_gone(&self) -> CaseResult {
        let pods = self.api::<Pod>();
        let claims = self.api::<PersistentVolumeClaim>();
        if self.own_namespace {
            for pod in pods.list(&ListParams::default()).await? {
                delete_now(&pods, &pod.name_any()).await?;
            }
            for claim in claims.list(&ListParams::default()).await? {
                delete(&claims, &claim.name_any()).await?;
            }
        }
        let tracked = self.tracker.newest_first();
        let ours = |name: &str| {
            self.own_namespace
                || tracked.iter().any(|thing| {
                    matches!(thing, Tracked::Object { kind: Kind::Claim, name: tracked, .. }
                        if tracked == name)
                })
        };
        let what = format!("the claims of {} are gone", self.namespace);
        self.eventually_all::<PersistentVolumeClaim, _>(what, Limit::ControlPlane, |claims| {
            claims.values().all(|claim| !ours(&claim.name_any())).then_some(())
        })
        .await
        .map_err(|trouble| Trouble::inconclusive(format!("clean-up: {trouble}")))
    }

    /// Waits until the volumes of this namespace with policy Delete are gone, and returns those that
    /// are not, and whatever bears the namespace's name on the export and was not named.
    async fn leaks(&self, tracked: &[Tracked]) -> CaseResult<Vec<Leak>> {
        let named_volume = |name: &str| {
            tracked.iter().any(|thing| {
                matches!(thing, Tracked::Object { kind: Kind::Volume, name: tracked, .. }
                    if tracked == name)
            })
        };
        let ours = |volume: &PersistentVolume| {
            let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            let namespace = reference.and_then(|reference| reference.namespace.as_deref());
            namespace == Some(self.namespace()) && !named_volume(&volume.name_any())
        };
        let wait = Wait {
            what: "the volumes of the case are gone".to_owned(),
            limit: Limit::VolumeReclaimed.name(),
            duration: self.limit(Limit::VolumeReclaimed),
        };
        let volumes = self.cluster_api::<PersistentVolume>();
        let waited = expect::eventually_among(&wait, volumes.clone(), watcher::Config::default(), |all| {
            (!all.values().any(ours)).then_some(())
        });
        let mut leaks = Vec::new();
        if waited.await.is_err() {
            for volume in volumes.list(&ListParams::default()).await?.iter().filter(|v| ours(v)) {
                leaks.push(self.leak("volume", volume.name_any()));
            }
        }
        let named_directory = |entry: &str| {
            tracked.iter().any(|thing| {
                matches!(thing, Tracked::Directory(path)
                    if path == entry || path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/')))
            })
        };
        for entry in self.left_on_export(named_directory).await? {
            leaks.push(self.leak("directory", entry));
        }
        Ok(leaks)
    }

    /// Entries of the export's root that bear this case's name, are not `named`, and stay: whether a
    /// directory goes before its volume is the business of R01, not of the ledger.
    async fn left_on_export(&self, named: impl Fn(&str) -> bool) -> CaseResult<Vec<String>> {
        let deadline = tokio::time::Instant::now() + self.limit(Limit::VolumeReclaimed);
        // An export has no watch: the pause between two looks.
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let mut left = self.export().list("").await?;
            left.retain(|entry| self.bears_our_name(entry) && !named(entry));
            if left.is_empty() || tokio::time::Instant::now() > deadline {
                return Ok(left);
            }
        }
    }

    /// Whether an entry of the export's root belongs to this case by its name.
    fn bears_our_name(&self, entry: &str) -> bool {
        if self.own_namespace {
            return entry.contains(&self.namespace);
        }
        let layout = format!("{}-", self.namespace);
        entry.starts_with(&layout) || entry.starts_with(&format!("archived-{layout}"))
    }

    fn leak(&self, kind: &str, name: String) -> Leak {
        Leak { kind: kind.to_owned(), name, case: self.case.to_owned() }
    }

    async fn remove_leak(&self, leak: &Leak) -> CaseResult {
        match leak.kind.as_str() {
            "volume" => self.remove_volume(&leak.name).await,
            _ => Ok(self.export().remove_tree(&leak.name).await?),
        }
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
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
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

/// Deletes without grace: simulated or not, nothing of it is needed any more.
async fn delete_now<K>(api: &Api<K>, name: &str) -> CaseResult
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    ignore_missing(api.delete(name, &params).await.map(drop))
}

fn ignore_missing(result: Result<(), kube::Error>) -> CaseResult {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other?),
    }
}

/// How long the clean-up of one case may take.
pub(crate) const CLEAN_UP_LIMIT: Duration = Duration::from_mins(2);

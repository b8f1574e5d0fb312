//! The default class: global state that only exclusive cases touch, and that is put back even after
//! a kill.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::World;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};

/// Marks the default class (storage.k8s.io).
pub const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// The older spelling, which still counts.
pub const IS_DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
/// Remembers on a class that it was the default before a case suspended it: the next case, or the
/// next run after a kill, puts it back.
const SUSPENDED: &str = "claimcheck.dev/suspended-default";
/// The pause between two dry runs: nothing tells when admission has seen a changed class.
const PAUSE: Duration = Duration::from_millis(50);

impl World {
    /// From here to the end of the case no class is the default.
    ///
    /// # Errors
    /// Inconclusive when a class cannot be changed.
    pub async fn without_default_class(&self) -> CaseResult {
        let api = self.cluster_api::<StorageClass>();
        for class in api.list(&ListParams::default()).await? {
            let default = [IS_DEFAULT, IS_DEFAULT_BETA]
                .iter()
                .find(|key| class.annotations().get(**key).is_some_and(|value| value == "true"));
            if let Some(key) = default {
                let patch = json!({"metadata": {"annotations": {SUSPENDED: key, *key: "false"}}});
                let params = PatchParams::default();
                api.patch(&class.name_any(), &params, &Patch::Merge(patch)).await?;
                self.mark(format!("class {}", class.name_any()), "no longer the default");
            }
        }
        Ok(())
    }

    /// Makes `class` the default one.
    ///
    /// # Errors
    /// Inconclusive when it cannot be changed.
    pub async fn make_default(&self, class: &StorageClass) -> CaseResult {
        self.set_default(class, "true").await
    }

    /// Sets the default annotation of `class` to `value`.
    ///
    /// # Errors
    /// As [`World::make_default`].
    pub async fn set_default(&self, class: &StorageClass, value: &str) -> CaseResult {
        let patch = json!({"metadata": {"annotations": {IS_DEFAULT: value}}});
        let api = self.cluster_api::<StorageClass>();
        api.patch(&class.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.mark(format!("class {}", class.name_any()), format!("default annotation {value}"));
        Ok(())
    }

    /// Waits until a new claim without a class is given the class `expected` at its creation, or
    /// none. Dry runs of a creation show it: admission reads classes from a cache of its own, which
    /// follows a changed annotation a little later.
    ///
    /// # Errors
    /// Failed with the class given last when limit `control-plane` passes.
    pub async fn new_claims_get(&self, expected: Option<&StorageClass>) -> CaseResult {
        let expected = expected.map(ResourceExt::name_any);
        let probe: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "dry-run"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }))
        .map_err(|error| Trouble::inconclusive(format!("a claim of the suite: {error}")))?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let api = self.api::<PersistentVolumeClaim>();
        let limit = self.limit(Limit::ControlPlane);
        let started = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            let given = api.create(&dry_run, &probe).await?.spec.and_then(|spec| spec.storage_class_name);
            if given == expected {
                return Ok(());
            }
            if started.elapsed() > limit {
                let what = format!(
                    "a new claim without a class is given {} within {} s (limit {})",
                    class_or_none(expected.as_deref()),
                    limit.as_secs(),
                    Limit::ControlPlane.name()
                );
                let observed = format!("it is given {}", class_or_none(given.as_deref()));
                return Err(Trouble::failed(what, observed));
            }
        }
    }
}

fn class_or_none(class: Option<&str>) -> String {
    class.map_or_else(|| "no class".to_owned(), |class| format!("class {class}"))
}

/// Makes every suspended class the default again.
///
/// # Access control
/// list and patch on storageclasses.
pub(crate) async fn restore(client: Client) -> Result<(), kube::Error> {
    let api: Api<StorageClass> = Api::all(client);
    for class in api.list(&ListParams::default()).await? {
        if let Some(key) = class.annotations().get(SUSPENDED) {
            let patch = json!({"metadata": {"annotations": {SUSPENDED: null, key: "true"}}});
            api.patch(&class.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        }
    }
    Ok(())
}

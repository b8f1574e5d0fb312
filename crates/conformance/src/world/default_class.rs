//! The default class: global state that only exclusive cases touch, and that is put back even after
//! a kill.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::World;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};

/// Marks the default class (storage.k8s.io).
pub const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
/// The older spelling, which still counts.
pub const IS_DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
/// Remembers on a class by which keys, separated by commas, it was the default before a case
/// suspended it: the next case, or the next run after a kill, puts it back.
const SUSPENDED: &str = "claimcheck.dev/suspended-default";
/// Marks a class that a case made the default: when its case was killed or is kept, it must not stay
/// the default.
const MADE: &str = "claimcheck.dev/made-default";
/// The pause between two dry runs: nothing tells when admission has seen a changed class.
const PAUSE: Duration = Duration::from_millis(50);

type Annotations = BTreeMap<String, String>;

impl World {
    /// From here to the end of the case no class is the default.
    ///
    /// # Errors
    /// Inconclusive when a class cannot be changed.
    pub async fn without_default_class(&self) -> CaseResult {
        let api = self.cluster_api::<StorageClass>();
        for class in api.list(&ListParams::default()).await? {
            if let Some(patch) = suspension(class.annotations()) {
                let patch = json!({"metadata": {"annotations": patch}});
                let params = PatchParams::default();
                api.patch(&class.name_any(), &params, &Patch::Merge(patch))
                    .await?;
                self.mark(
                    format!("class {}", class.name_any()),
                    "no longer the default",
                );
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
        let patch = json!({"metadata": {"annotations": {IS_DEFAULT: value, MADE: "true"}}});
        let api = self.cluster_api::<StorageClass>();
        api.patch(
            &class.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
        self.mark(
            format!("class {}", class.name_any()),
            format!("default annotation {value}"),
        );
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
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let api = self.api::<PersistentVolumeClaim>();
        let limit = self.limit(Limit::ControlPlane);
        let started = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            let given = api
                .create(&dry_run, &probe)
                .await?
                .spec
                .and_then(|spec| spec.storage_class_name);
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

/// Annotations that keep a class from being the default; `None` when it is not.
fn suspension(annotations: &Annotations) -> Option<Value> {
    let keys: Vec<&str> = [IS_DEFAULT, IS_DEFAULT_BETA]
        .into_iter()
        .filter(|key| annotations.get(*key).is_some_and(|value| value == "true"))
        .collect();
    if keys.is_empty() {
        return None;
    }
    let mut patch = json!({SUSPENDED: keys.join(",")});
    for key in keys {
        patch[key] = json!("false");
    }
    Some(patch)
}

/// Annotations that put a class back as it was; `None` when no case has touched it.
fn restoration(annotations: &Annotations) -> Option<Value> {
    if annotations.contains_key(MADE) {
        return Some(json!({MADE: null, SUSPENDED: null, IS_DEFAULT: null}));
    }
    let mut patch = json!({SUSPENDED: null});
    for key in annotations.get(SUSPENDED)?.split(',') {
        // What is written in a class is not trusted to be ours.
        if [IS_DEFAULT, IS_DEFAULT_BETA].contains(&key) {
            patch[key] = json!("true");
        }
    }
    Some(patch)
}

/// Makes every suspended class the default again, and none that a case made so. The lock on global
/// state is held: what is found is the caller's own, or was left by a case that was killed or kept.
///
/// # Access control
/// list and patch on storageclasses.
pub(crate) async fn restore(client: Client) -> Result<(), kube::Error> {
    let api: Api<StorageClass> = Api::all(client);
    for class in api.list(&ListParams::default()).await? {
        let Some(patch) = restoration(class.annotations()) else {
            continue;
        };
        let patch = Patch::Merge(json!({"metadata": {"annotations": patch}}));
        match api
            .patch(&class.name_any(), &PatchParams::default(), &patch)
            .await
        {
            // Of two cases that run side by side one has deleted it.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => drop(answer?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> Annotations {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// A JSON merge patch of annotations, applied.
    fn patched(mut annotations: Annotations, patch: &Value) -> Annotations {
        for (key, value) in patch.as_object().unwrap() {
            match value.as_str() {
                Some(value) => annotations.insert(key.clone(), value.to_owned()),
                None => annotations.remove(key),
            };
        }
        annotations
    }

    #[test]
    fn a_default_by_either_key_or_both_is_suspended_and_put_back_as_it_was() {
        for keys in [
            &[IS_DEFAULT][..],
            &[IS_DEFAULT_BETA],
            &[IS_DEFAULT, IS_DEFAULT_BETA],
        ] {
            let before: Annotations = keys
                .iter()
                .map(|key| ((*key).to_owned(), "true".to_owned()))
                .collect();
            let suspended = patched(before.clone(), &suspension(&before).unwrap());
            assert_eq!(suspension(&suspended), None, "it is no default any more");
            assert_eq!(
                patched(suspended.clone(), &restoration(&suspended).unwrap()),
                before
            );
        }
    }

    #[test]
    fn a_class_that_is_no_default_and_was_touched_by_nobody_is_left_alone() {
        for untouched in [
            annotations(&[]),
            annotations(&[(IS_DEFAULT, "false"), ("a", "b")]),
        ] {
            assert_eq!(suspension(&untouched), None);
            assert_eq!(restoration(&untouched), None);
        }
    }

    #[test]
    fn a_class_that_a_case_made_the_default_does_not_stay_so() {
        let made = annotations(&[(IS_DEFAULT, "true"), (MADE, "true"), ("a", "b")]);
        let after = patched(made.clone(), &restoration(&made).unwrap());
        assert_eq!(after, annotations(&[("a", "b")]));
        // Nor when the next case suspended it meanwhile.
        let suspended = patched(made.clone(), &suspension(&made).unwrap());
        let after = patched(suspended.clone(), &restoration(&suspended).unwrap());
        assert_eq!(after, annotations(&[("a", "b")]));
    }
}

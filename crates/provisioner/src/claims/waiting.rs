//! What is kept of a claim that waits for a volume: as much as finding it again takes, since a burst
//! has thousands and each is read anew before it is served.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::ResourceExt;
use kube::api::ObjectMeta;

use crate::decide;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) class: Option<String>,
    /// Its number among those that nobody asks us for yet; see `ahead.rs`.
    pub(super) unasked: Option<u64>,
    /// A hash of all that an edit changes.
    content: u64,
}

impl Waiting {
    pub(super) fn new(claim: &PersistentVolumeClaim) -> Self {
        Self {
            namespace: claim.namespace().unwrap_or_default(),
            name: claim.name_any(),
            class: decide::class_name(claim).map(str::to_owned),
            unasked: None,
            content: content(claim),
        }
    }

    /// A claim that nobody asks us for yet.
    pub(super) fn unasked(claim: &PersistentVolumeClaim, number: u64) -> Self {
        Self {
            unasked: Some(number),
            ..Self::new(claim)
        }
    }

    /// A claim that says as much: its identity and its class.
    pub(super) fn as_claim(&self, uid: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                namespace: Some(self.namespace.clone()),
                name: Some(self.name.clone()),
                uid: Some(uid.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                storage_class_name: self.class.clone(),
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        }
    }
}

/// A hash of a claim without status, version and managed fields: what is left changes by an edit
/// only.
fn content(claim: &PersistentVolumeClaim) -> u64 {
    let mut edited = claim.clone();
    edited.status = None;
    edited.metadata.managed_fields = None;
    edited.metadata.resource_version = None;
    let mut hasher = DefaultHasher::new();
    // Strings, numbers, lists and maps of them: serialising cannot fail.
    serde_json::to_string(&edited)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(serde_json::json!({
            "metadata": { "namespace": "ns", "name": "a", "uid": "1", "resourceVersion": "5" },
            "spec": { "storageClassName": "c", "accessModes": ["ReadWriteOnce"] },
        }))
        .unwrap()
    }

    #[test]
    fn only_an_edit_makes_another_one_of_it() {
        let waiting = Waiting::new(&claim());
        let mut touched = claim();
        touched.metadata.resource_version = Some("6".to_owned());
        touched.status = Some(k8s_openapi::api::core::v1::PersistentVolumeClaimStatus::default());
        assert_eq!(Waiting::new(&touched), waiting);
        let mut edited = claim();
        edited.spec.as_mut().unwrap().access_modes = Some(vec!["ReadOnlyMany".to_owned()]);
        assert_ne!(Waiting::new(&edited), waiting);
    }

    #[test]
    fn it_says_which_claim_it_is() {
        let said = Waiting::new(&claim()).as_claim("1");
        assert_eq!(said.uid().as_deref(), Some("1"));
        assert_eq!(
            (said.namespace().as_deref(), said.name_any().as_str()),
            (Some("ns"), "a")
        );
        assert_eq!(decide::class_name(&said), Some("c"));
    }
}

//! What is kept of a claim that waits for a volume: as much as finding it again takes, since a burst
//! has thousands and each is read anew before it is served.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec};
use kube::api::ObjectMeta;

use crate::decide;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Namespace, name and class, in one piece of memory.
    names: Box<str>,
    /// Where the name begins.
    name_at: usize,
    /// Where the class begins; empty for none.
    class_at: usize,
    /// Its number among those that nobody asks us for yet; see `ahead.rs`.
    pub(super) unasked: Option<u64>,
    /// A hash of all that an edit changes.
    content: u64,
}

impl Waiting {
    pub(super) fn new(claim: &PersistentVolumeClaim) -> Self {
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        let class = decide::class_name(claim).unwrap_or_default();
        Self {
            names: [namespace, name, class].concat().into_boxed_str(),
            name_at: namespace.len(),
            class_at: namespace.len() + name.len(),
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

    pub(super) fn namespace(&self) -> &str {
        &self.names[..self.name_at]
    }

    pub(super) fn name(&self) -> &str {
        &self.names[self.name_at..self.class_at]
    }

    pub(super) fn class(&self) -> Option<&str> {
        Some(&self.names[self.class_at..]).filter(|class| !class.is_empty())
    }

    /// A claim that says as much: its identity and its class.
    pub(super) fn as_claim(&self, uid: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                namespace: Some(self.namespace().to_owned()),
                name: Some(self.name().to_owned()),
                uid: Some(uid.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                storage_class_name: self.class().map(str::to_owned),
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
    use kube::ResourceExt;

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

    #[test]
    fn it_may_have_no_class() {
        let mut claim = claim();
        claim.spec.as_mut().unwrap().storage_class_name = None;
        let waiting = Waiting::new(&claim);
        assert_eq!(waiting.class(), None);
        assert_eq!(decide::class_name(&waiting.as_claim("1")), None);
    }
}

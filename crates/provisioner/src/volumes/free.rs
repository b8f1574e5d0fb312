//! Volumes that have no claim yet: an administrator's, made beforehand.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use crate::constants::STORAGE_CLASS_BETA;
use crate::decide;

/// Whom a free volume is there for.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    /// Reserved for the claim of this namespace and name, whatever its class.
    Reserved(String, String),
    /// Whoever wants this class.
    Class(String),
}

/// The free volumes, by name.
#[derive(Debug, Default)]
pub(super) struct Free(Mutex<HashMap<String, Offer>>);

impl Free {
    /// Takes a volume as it is now, free or not any more.
    pub(super) fn see(&self, volume: &PersistentVolume) {
        let mut known = self.lock();
        match offer(volume) {
            Some(offer) => drop(known.insert(volume.name_any(), offer)),
            None => drop(known.remove(&volume.name_any())),
        }
    }

    /// A volume is gone.
    pub(super) fn gone(&self, volume: &str) {
        self.lock().remove(volume);
    }

    /// Whether the controller-manager might bind a claim to one of them. Size, access modes and
    /// labels are not looked at: it is for the controller-manager to say that none fits.
    pub(super) fn might_serve(&self, claim: &PersistentVolumeClaim) -> bool {
        let class = decide::class_name(claim);
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        self.lock().values().any(|offer| match offer {
            Offer::Reserved(of, reserved) => *of == namespace && *reserved == name,
            Offer::Class(offered) => Some(offered.as_str()) == class,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Offer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom a volume is there for; `None` when it has a claim.
fn offer(volume: &PersistentVolume) -> Option<Offer> {
    let spec = volume.spec.as_ref()?;
    let Some(claim) = &spec.claim_ref else {
        let class = volume.annotations().get(STORAGE_CLASS_BETA);
        let class = class.or(spec.storage_class_name.as_ref());
        return Some(Offer::Class(class.cloned().unwrap_or_default()));
    };
    let reserved = claim.uid.as_deref().unwrap_or_default().is_empty();
    reserved.then(|| {
        Offer::Reserved(
            claim.namespace.clone().unwrap_or_default(),
            claim.name.clone().unwrap_or_default(),
        )
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn volume(spec: &Value) -> PersistentVolume {
        serde_json::from_value(json!({ "metadata": { "name": "pv" }, "spec": spec })).unwrap()
    }

    fn claim() -> PersistentVolumeClaim {
        serde_json::from_value(json!({
            "metadata": { "namespace": "ns", "name": "data" },
            "spec": { "storageClassName": "c" },
        }))
        .unwrap()
    }

    #[rstest]
    #[case::of_its_class(json!({ "storageClassName": "c" }), true)]
    #[case::of_another_class(json!({ "storageClassName": "d" }), false)]
    #[case::of_no_class(json!({}), false)]
    #[case::reserved_for_it(json!({ "storageClassName": "d", "claimRef": { "namespace": "ns", "name": "data" } }), true)]
    #[case::reserved_for_it_no_uid(json!({ "claimRef": { "namespace": "ns", "name": "data", "uid": "" } }), true)]
    #[case::reserved_elsewhere(json!({ "storageClassName": "c", "claimRef": { "namespace": "other", "name": "data" } }), false)]
    #[case::reserved_for_another(json!({ "storageClassName": "c", "claimRef": { "namespace": "ns", "name": "other" } }), false)]
    #[case::of_a_claim(json!({ "storageClassName": "c", "claimRef": { "namespace": "ns", "name": "data", "uid": "1" } }), false)]
    fn a_free_volume_is_there_for_whom_it_may_be_bound_to(
        #[case] spec: Value,
        #[case] might: bool,
    ) {
        let free = Free::default();
        free.see(&volume(&spec));
        assert_eq!(free.might_serve(&claim()), might);
    }

    #[test]
    fn a_beta_annotation_is_its_class() {
        let mut volume = volume(&json!({ "storageClassName": "d" }));
        volume
            .annotations_mut()
            .insert(STORAGE_CLASS_BETA.to_owned(), "c".to_owned());
        let free = Free::default();
        free.see(&volume);
        assert!(free.might_serve(&claim()));
    }

    #[test]
    fn it_is_free_until_it_has_a_claim_or_is_gone() {
        let free = Free::default();
        let offered = volume(&json!({ "storageClassName": "c" }));
        free.see(&offered);
        free.see(&volume(
            &json!({ "storageClassName": "c", "claimRef": { "namespace": "ns", "name": "x", "uid": "2" } }),
        ));
        assert!(!free.might_serve(&claim()), "another claim has it");
        free.see(&offered);
        assert!(free.might_serve(&claim()));
        free.gone("pv");
        assert!(!free.might_serve(&claim()));
    }
}

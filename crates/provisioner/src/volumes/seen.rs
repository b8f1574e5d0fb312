//! What the watch shows of a volume, as much of it as decisions need.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;

use crate::class::OnDelete;
use crate::constants::{ON_DELETE, VOLUME_FINALIZER};

/// What is kept of a volume.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) claim_uid: Option<String>,
    /// Only of volumes that say they are ours.
    pub(super) ours: Option<Ours>,
}

#[derive(Debug)]
pub(super) struct Ours {
    /// A hash of all that an edit or the controller manager changes.
    pub(super) content: u64,
    pub(super) common: Arc<Common>,
    pub(super) on_delete: Option<OnDelete>,
    /// It is being deleted and waits for the finalizers of others only.
    pub(super) gone_for_us: bool,
}

/// What many volumes have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Common {
    pub(super) policy: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) export_id: Option<String>,
}

/// Each of these once, as long as a volume has it.
#[derive(Debug, Default)]
pub(super) struct Commons(Mutex<HashSet<Arc<Common>>>);

impl Commons {
    /// The one that is equal, or this one from now on.
    pub(super) fn share(&self, common: Common) -> Arc<Common> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&common) {
            return known.clone();
        }
        known.retain(|known| Arc::strong_count(known) > 1);
        let common = Arc::new(common);
        known.insert(common.clone());
        common
    }
}

pub(super) fn policy_of(volume: &PersistentVolume) -> Option<&str> {
    volume
        .spec
        .as_ref()?
        .persistent_volume_reclaim_policy
        .as_deref()
}

pub(super) fn on_delete_of(volume: &PersistentVolume) -> Option<OnDelete> {
    volume.annotations().get(ON_DELETE)?.parse().ok()
}

pub(super) fn is_going(volume: &PersistentVolume) -> bool {
    volume.metadata.deletion_timestamp.is_some()
}

pub(super) fn has_finalizer(volume: &PersistentVolume) -> bool {
    volume
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == VOLUME_FINALIZER)
}

pub(super) fn content(volume: &PersistentVolume) -> u64 {
    let mut hasher = DefaultHasher::new();
    let metadata = &volume.metadata;
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_ref());
    (
        &metadata.uid,
        &metadata.annotations,
        &metadata.labels,
        &metadata.finalizers,
        phase,
    )
        .hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    serde_json::to_string(&volume.spec)
        .unwrap_or_default()
        .hash(&mut hasher);
    hasher.finish()
}

pub(super) fn claim_uid(volume: &PersistentVolume) -> Option<String> {
    volume.spec.as_ref()?.claim_ref.as_ref()?.uid.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(owner: &str) -> Common {
        Common {
            policy: Some("Delete".to_owned()),
            owner: Some(owner.to_owned()),
            export_id: None,
        }
    }

    #[test]
    fn what_is_equal_is_there_once_and_only_while_it_is_used() {
        let commons = Commons::default();
        let (first, again) = (commons.share(common("a")), commons.share(common("a")));
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &commons.share(common("b"))));
        drop((first, again));
        let last = commons.share(common("c"));
        assert_eq!(*commons.0.lock().unwrap(), HashSet::from([last]));
    }
}

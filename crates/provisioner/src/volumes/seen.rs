//! What the watch shows of a volume, as much of it as decisions need.

use std::hash::{DefaultHasher, Hash, Hasher};

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
    pub(super) policy: Option<String>,
    pub(super) on_delete: Option<OnDelete>,
    pub(super) owner: Option<String>,
    pub(super) export_id: Option<String>,
    /// It is being deleted and waits for the finalizers of others only.
    pub(super) gone_for_us: bool,
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

//! Pure decisions about volumes that have lost their claim.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::volume::Scope;
use crate::adopt;
use crate::class::OnDelete;
use crate::config::Target;
use crate::constants::{DELETE, EXPORT_ID, ON_DELETE, OWNER, PROVISIONED_BY, RELEASED};
use crate::path::RelativePath;
use crate::records::{DirectoryIdentity, Origin, Record};

/// The order of the two halves of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalStep {
    /// What happens to the directory.
    Directory,
    /// The volume object goes.
    Volume,
}

/// Directory first: a volume object that is gone first would leave data nobody knows of
/// (volume-provisioning proposal, step 6).
pub const REMOVAL_ORDER: [RemovalStep; 2] = [RemovalStep::Directory, RemovalStep::Volume];

/// What happens to the directory of a volume that is to be reclaimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// Another deployment's, by its own annotations: left alone without a word.
    Foreign(String),
    /// Volume and directory are left alone and an event says why: it says it is ours, but nothing
    /// proves it.
    LeaveAlone(String),
    /// The volume goes, the directory stays, and an event says why.
    Keep(String),
    /// The volume goes and the directory is treated like this.
    Apply(OnDelete),
    /// Nothing happens until an administrator has mended something.
    Blocked(String),
}

/// The directory of a volume on our export, whoever made the volume.
pub fn volume_directory(target: &Target, volume: &PersistentVolume) -> Option<RelativePath> {
    let nfs = volume.spec.as_ref()?.nfs.as_ref()?;
    target
        .is_server(&nfs.server)
        .then(|| target.export.below(&nfs.path))?
}

/// Whether a volume says it is ours: made by a provisioner of our name, on our server, below our
/// export. Necessary, never sufficient: see [`disposal`] (nfs-subdir #310).
pub fn is_our_volume(target: &Target, volume: &PersistentVolume) -> bool {
    volume
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|name| name == target.provisioner.as_str())
        && volume_directory(target, volume).is_some()
}

/// Whether a volume is to go: its claim is gone and its policy, as it stands now, is Delete.
pub fn is_reclaimable(volume: &PersistentVolume) -> bool {
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    phase == Some(RELEASED) && policy == Some(DELETE)
}

/// Whether the claim a volume was made for has let go of it: it is gone, is another one of the
/// same name, or uses another volume.
///
/// `live` is what stands under the name the volume's claim reference gives.
pub fn is_claim_gone(volume: &PersistentVolume, live: Option<&PersistentVolumeClaim>) -> bool {
    let reference = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.as_ref());
    let Some(uid) = reference.and_then(|reference| reference.uid.as_deref()) else {
        return false;
    };
    match live {
        None => true,
        Some(claim) if claim.metadata.uid.as_deref() != Some(uid) => true,
        Some(claim) => {
            let bound = claim
                .spec
                .as_ref()
                .and_then(|spec| spec.volume_name.as_deref())
                .unwrap_or_default();
            !bound.is_empty() && Some(bound) != volume.metadata.name.as_deref()
        }
    }
}

/// What happens to the directory of a volume that is ours and is to go.
///
/// The policy on delete is what was recorded when the volume was made; an administrator may have
/// edited the volume's annotation since, which wins. The class is not needed any more
/// (external-provisioner #330).
pub fn disposal(scope: &Scope, volume: &PersistentVolume, record: Option<&Record>) -> Disposal {
    let annotations = volume.annotations();
    for (key, own) in [(EXPORT_ID, &scope.export_id), (OWNER, &scope.owner)] {
        if let Some(other) = annotations.get(key).filter(|value| *value != own) {
            return Disposal::Foreign(format!("its annotation {key} is {other}, ours is {own}"));
        }
    }
    let Some(record) = record else {
        return Disposal::LeaveAlone("the export has no record of this volume".to_owned());
    };
    let claim = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.as_ref())
        .and_then(|claim| claim.uid.as_deref());
    if claim != Some(record.claim.uid.as_str()) {
        return Disposal::LeaveAlone("the record on the export is about another claim".to_owned());
    }
    if volume_directory(&scope.target, volume).as_ref() != Some(&record.directory) {
        return Disposal::LeaveAlone(format!(
            "the record on the export says the directory is {}",
            record.directory
        ));
    }
    let on_delete = match (annotations.get(ON_DELETE), &record.awaits_class) {
        (None, Some(class)) => return Disposal::Blocked(adopt::awaiting(class)),
        (None, None) => record.on_delete,
        (Some(text), _) => match text.parse() {
            Ok(on_delete) => on_delete,
            Err(()) => {
                return Disposal::Blocked(format!(
                    "the annotation {ON_DELETE} is {text:?}; allowed are delete, retain and archive"
                ));
            }
        },
    };
    by_origin(record, on_delete)
}

/// What happens to the directory of a volume whose object and claim are gone already: the last
/// reclaim policy seen decides.
pub fn disposal_without_volume(record: &Record) -> Disposal {
    match record.reclaim_policy.as_deref() {
        Some(DELETE) if record.awaits_class.is_some() => Disposal::Keep(
            "its volume is gone, and its class was gone before it was taken over".to_owned(),
        ),
        Some(DELETE) => by_origin(record, record.on_delete),
        Some(policy) => Disposal::Keep(format!(
            "its volume is gone, and its reclaim policy was {policy}"
        )),
        None => {
            Disposal::Keep("its volume is gone, and its reclaim policy was never seen".to_owned())
        }
    }
}

fn by_origin(record: &Record, on_delete: OnDelete) -> Disposal {
    match (record.origin, on_delete) {
        (_, OnDelete::Retain) => Disposal::Apply(OnDelete::Retain),
        (Origin::Reused, _) => {
            Disposal::Keep("it existed before the volume and was not made here".to_owned())
        }
        (Origin::Created | Origin::Adopted, on_delete) => Disposal::Apply(on_delete),
    }
}

/// Whether the directory found is the one the record is about.
pub fn is_same_directory(recorded: Option<&DirectoryIdentity>, found: &DirectoryIdentity) -> bool {
    recorded.is_some_and(|recorded| recorded.matches(found))
}

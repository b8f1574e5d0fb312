//! Taking over volumes that an older provisioner of our name made: pure decisions.
//!
//! At the first start on an export every volume that [`assess`] accepts gets a record, and from
//! then on is reclaimed as one of ours. A volume without a record that appears later is taken over
//! only where an administrator says so ([`is_asked`]): whoever may create volume objects must not
//! be able to aim a deletion at any directory of the export.
//!
//! Volume objects are not written to: what is known of them is in the record.

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::class::OnDelete;
use crate::config::{Target, parse_bool};
use crate::constants::{ADOPT, EXPORT_ID, ON_DELETE, ORIGIN, OWNER, PROVISIONED_BY};
use crate::path::RelativePath;
use crate::path::naming::{self, PathError};
use crate::records::{ClaimId, Origin};

/// What is recorded of a volume that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The claim it was made for.
    pub claim: ClaimId,
    /// Its directory below the export's root.
    pub directory: RelativePath,
    /// Where the directory came from: `adopted`, unless it is one of our own volumes, whose record
    /// is lost, and says that its directory was there before it.
    pub origin: Origin,
    /// What happens to the directory in the end.
    pub policy: Policy,
    /// The reclaim policy it has now.
    pub reclaim_policy: Option<String>,
}

/// What happens to the directory of a volume that is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Its class, or an administrator, says it.
    Known(OnDelete),
    /// Its class, of this name, is gone: nothing happens until somebody says it.
    AwaitsClass(String),
}

/// Why a volume is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// Another provisioner made it, or nobody.
    #[error("it was made by {}", .0.as_deref().unwrap_or("nobody who says so"))]
    Provisioner(Option<String>),
    /// It lies on another server, or on none.
    #[error("it lies on the server {0:?}; name that with --server-alias if it is the same one")]
    Server(String),
    /// It lies outside the export.
    #[error("its path {0:?} is not below the export's")]
    Path(String),
    /// It is the export itself.
    #[error("it is the export itself; a volume of its own is never taken over")]
    Root,
    /// Its path breaks a rule for volumes.
    #[error("{0}")]
    Rule(#[from] PathError),
    /// It was made for no claim.
    #[error("it names no claim with a UID")]
    NoClaim,
}

/// Whether a volume can be taken over, and as what. `class` is the one it names, if that exists.
///
/// # Errors
/// The first thing that stands against it.
pub fn assess(
    target: &Target,
    volume: &PersistentVolume,
    class: Option<&StorageClass>,
) -> Result<Adoption, NotAdopted> {
    let made_by = volume.annotations().get(PROVISIONED_BY);
    if made_by.is_none_or(|name| name != target.provisioner.as_str()) {
        return Err(NotAdopted::Provisioner(made_by.cloned()));
    }
    let spec = volume.spec.clone().unwrap_or_default();
    let nfs = spec.nfs.unwrap_or_default();
    if !target.is_server(&nfs.server) {
        return Err(NotAdopted::Server(nfs.server));
    }
    let directory = match target.export.below(&nfs.path) {
        Some(directory) => directory,
        None if target.export.is(&nfs.path) => return Err(NotAdopted::Root),
        None => return Err(NotAdopted::Path(nfs.path)),
    };
    naming::check(&directory, &target.export)?;
    let claim = spec.claim_ref.unwrap_or_default();
    let (Some(namespace), Some(name), Some(uid)) = (claim.namespace, claim.name, claim.uid) else {
        return Err(NotAdopted::NoClaim);
    };
    Ok(Adoption {
        claim: ClaimId {
            namespace,
            name,
            uid,
        },
        directory,
        origin: origin(volume),
        policy: policy(target, volume, class),
        reclaim_policy: spec.persistent_volume_reclaim_policy,
    })
}

/// Whoever may edit a volume can say `reused` only to have its directory kept.
fn origin(volume: &PersistentVolume) -> Origin {
    let said = volume.annotations().get(ORIGIN);
    if said.is_some_and(|text| text == Origin::Reused.as_str()) {
        Origin::Reused
    } else {
        Origin::Adopted
    }
}

/// What an administrator says on the volume, else what its class says now.
fn policy(target: &Target, volume: &PersistentVolume, class: Option<&StorageClass>) -> Policy {
    let said = volume.annotations().get(ON_DELETE);
    if let Some(on_delete) = said.and_then(|text| text.parse().ok()) {
        return Policy::Known(on_delete);
    }
    match class.filter(|class| class.provisioner == target.provisioner.as_str()) {
        Some(class) => Policy::Known(class_policy(class)),
        None => Policy::AwaitsClass(class_name(volume).to_owned()),
    }
}

/// The class a volume names; empty if none.
pub fn class_name(volume: &PersistentVolume) -> &str {
    volume
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or_default()
}

/// What a class says about the directories of its volumes. A value that would be refused for a new
/// claim cannot be refused for a volume that exists: it counts as `archive`, which loses nothing.
pub fn class_policy(class: &StorageClass) -> OnDelete {
    let get = |name: &str| {
        class
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.get(name))
            .map(String::as_str)
    };
    let archive = get("archiveOnDelete").map_or(Some(true), parse_bool);
    match (get("onDelete").unwrap_or_default(), archive) {
        ("retain", _) => OnDelete::Retain,
        ("delete", Some(_)) | ("", Some(false)) => OnDelete::Delete,
        _ => OnDelete::Archive,
    }
}

/// Whether an administrator hands a volume over.
pub fn is_asked(volume: &PersistentVolume) -> bool {
    volume
        .annotations()
        .get(ADOPT)
        .is_some_and(|text| text == "true")
}

/// The other deployment or export that a volume names in our own annotations.
pub fn other_deployment(owner: &str, export_id: &str, volume: &PersistentVolume) -> Option<String> {
    [(EXPORT_ID, export_id), (OWNER, owner)]
        .into_iter()
        .find_map(|(key, own)| {
            let value = volume.annotations().get(key)?;
            (value != own).then(|| format!("its annotation {key} is {value}, ours is {own}"))
        })
}

/// Why nothing happens to the directory of a volume whose class was gone.
pub fn awaiting(class: &str) -> String {
    format!(
        "the class {class:?} was gone when this volume was taken over, so nobody has said what happens to its directory: \
         create the class again, or set the annotation {ON_DELETE} to delete, retain or archive"
    )
}

#[cfg(test)]
mod tests;

//! The volume object a claim gets (1.2), and whether one that is there already is the same.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NFSVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::class_name;
use crate::class::OnDelete;
use crate::config::Target;
use crate::constants::{
    DELETE, DIRECTORY, EXPORT_ID, FILESYSTEM, ON_DELETE, ORIGIN, OWNER, PROVISIONED_BY,
    VOLUME_FINALIZER,
};
use crate::path::RelativePath;
use crate::records::Origin;

/// What identifies this deployment on this export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Name, server and path.
    pub target: Target,
    /// The deployment.
    pub owner: String,
    /// The export.
    pub export_id: String,
    /// The file system of the export's root.
    pub root: u64,
    /// Whether volumes get the finalizer: `patch` on volumes is granted, so it can be taken off.
    pub finalizer: bool,
    /// How often the lock has changed hands.
    pub transitions: i32,
}

/// What a volume is built from.
#[derive(Clone, Copy, Debug)]
pub struct VolumeRequest<'a> {
    /// Whose it is.
    pub scope: &'a Scope,
    /// The claim, as read just now.
    pub claim: &'a PersistentVolumeClaim,
    /// Its class.
    pub class: &'a StorageClass,
    /// The volume's name.
    pub name: &'a str,
    /// Its directory.
    pub directory: &'a RelativePath,
    /// Where the directory came from.
    pub origin: Origin,
    /// What happens to it in the end.
    pub on_delete: OnDelete,
}

/// The volume object.
///
/// Source: volume-provisioning proposal, step 5; nfs-subdir `provisioner.go` for the NFS source.
pub fn volume_object(request: &VolumeRequest<'_>) -> PersistentVolume {
    let VolumeRequest {
        scope,
        claim,
        class,
        name,
        directory,
        origin,
        on_delete,
    } = *request;
    let spec = claim.spec.clone().unwrap_or_default();
    let capacity = spec
        .resources
        .and_then(|resources| resources.requests)
        .and_then(|requests| requests.get("storage").cloned())
        .map(|request| BTreeMap::from([("storage".to_owned(), request)]));
    let annotations = [
        (PROVISIONED_BY, scope.target.provisioner.to_string()),
        (OWNER, scope.owner.clone()),
        (EXPORT_ID, scope.export_id.clone()),
        (DIRECTORY, directory.to_string()),
        (ORIGIN, origin.as_str().to_owned()),
        (ON_DELETE, on_delete.to_string()),
    ];
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some(
                annotations
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
            finalizers: scope.finalizer.then(|| vec![VOLUME_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity,
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: claim.namespace(),
                name: claim.metadata.name.clone(),
                uid: claim.uid(),
                resource_version: claim.resource_version(),
                ..ObjectReference::default()
            }),
            mount_options: class
                .mount_options
                .clone()
                .filter(|options| !options.is_empty()),
            nfs: Some(NFSVolumeSource {
                server: scope.target.server.clone(),
                path: scope.target.export.join(directory),
                read_only: Some(false),
            }),
            persistent_volume_reclaim_policy: Some(
                class
                    .reclaim_policy
                    .clone()
                    .unwrap_or_else(|| DELETE.to_owned()),
            ),
            storage_class_name: class_name(claim).map(str::to_owned),
            volume_mode: Some(FILESYSTEM.to_owned()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

/// Whether a volume found under the wanted name is the wanted one: made by this provisioner, for
/// the very claim, at the very place (external-provisioner-library #55).
pub fn is_same_volume(wanted: &PersistentVolume, found: &PersistentVolume) -> bool {
    let facts = |volume: &PersistentVolume| {
        let spec = volume.spec.clone().unwrap_or_default();
        let nfs = spec.nfs.unwrap_or_default();
        (
            spec.claim_ref.unwrap_or_default().uid,
            nfs.server,
            nfs.path,
            volume.annotations().get(PROVISIONED_BY).cloned(),
        )
    };
    facts(wanted) == facts(found)
}

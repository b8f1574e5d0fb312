//! Claims that the controller-manager has not come to yet.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::config::Target;
use crate::constants::{IMMEDIATE, STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA};

/// The claim as it will be once the controller-manager has found no volume for it: annotated for
/// this provisioner. `None` where somebody is asked already, where another one will be, and where
/// nobody will be before there is a pod (`WaitForFirstConsumer`).
///
/// Source: `provisionClaim` and `setClaimProvisioner` in `pkg/controller/volume/persistentvolume`.
pub fn expected(
    target: &Target,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Option<PersistentVolumeClaim> {
    let annotations = claim.annotations();
    let is_asked = [STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA]
        .iter()
        .any(|key| annotations.contains_key(*key));
    let at_once = class
        .volume_binding_mode
        .as_deref()
        .is_none_or(|mode| mode == IMMEDIATE);
    if is_asked || !at_once || class.provisioner != target.provisioner.as_str() {
        return None;
    }
    let mut expected = claim.clone();
    expected
        .annotations_mut()
        .insert(STORAGE_PROVISIONER.to_owned(), class.provisioner.clone());
    Some(expected)
}

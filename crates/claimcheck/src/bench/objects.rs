//! The objects of a burst, and how their names tell which they are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NFSVolumeSource, Namespace, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeSpec, VolumeResourceRequirements,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ObjectMeta;
use testbed::subject::Subject;

use super::timeline::{Seen, VolumePhase};

/// Where all claims are.
pub(super) const NAMESPACE: &str = "claimcheck-bench";
/// What each claim asks for: the least that any provisioner takes for a size.
const SIZE: &str = "1Mi";
/// The access mode that every provisioner has.
const ACCESS_MODE: &str = "ReadWriteOnce";
/// A class without a provisioner, for volumes that are there already.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Names of the objects of one burst; those of other bursts are not taken for its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    class: String,
    prefix: String,
}

impl Names {
    /// Those of the burst with this number.
    pub(super) fn of(burst: usize) -> Self {
        let class = format!("bench-{burst}");
        Self {
            prefix: class.clone(),
            class,
        }
    }

    /// Those of something that is done beside it, with its class.
    pub(super) fn beside(burst: usize, what: &str) -> Self {
        let Self { class, prefix } = Self::of(burst);
        Self {
            class,
            prefix: format!("{prefix}-{what}"),
        }
    }

    /// The class.
    pub(super) fn class(&self) -> String {
        self.class.clone()
    }

    /// A claim, and a volume that is made beforehand.
    pub(super) fn object(&self, index: usize) -> String {
        format!("{}-{index:05}", self.prefix)
    }

    /// The number of a claim of this burst.
    fn index(&self, name: &str) -> Option<usize> {
        let number = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        number.parse().ok()
    }

    /// Which claim it is.
    pub(super) fn of_claim(&self, claim: &PersistentVolumeClaim) -> Option<usize> {
        self.index(claim.metadata.name.as_deref()?)
    }

    /// Whose volume it is.
    pub(super) fn of_volume(&self, volume: &PersistentVolume) -> Option<usize> {
        let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
        if claim.namespace.as_deref() != Some(NAMESPACE) {
            return None;
        }
        self.index(claim.name.as_deref()?)
    }
}

/// What a claim shows.
pub(super) fn seen_of_claim(claim: &PersistentVolumeClaim, index: usize) -> Seen {
    let status = claim.status.as_ref();
    Seen::Claim {
        index,
        bound: status.and_then(|status| status.phase.as_deref()) == Some("Bound"),
        deleting: claim.metadata.deletion_timestamp.is_some(),
    }
}

/// What a volume shows.
pub(super) fn seen_of_volume(volume: &PersistentVolume, index: usize) -> Seen {
    let status = volume.status.as_ref();
    let phase = match status.and_then(|status| status.phase.as_deref()) {
        Some("Available") => VolumePhase::Available,
        Some("Released") => VolumePhase::Released,
        _ => VolumePhase::Other,
    };
    Seen::Volume { index, phase }
}

/// The namespace.
pub(super) fn namespace() -> Namespace {
    Namespace {
        metadata: named(NAMESPACE),
        ..Namespace::default()
    }
}

/// The class of a burst: of the subject, or of volumes made beforehand. What is made is deleted
/// again, whatever the subject's own classes say.
pub(super) fn class(names: &Names, subject: Option<&Subject>) -> StorageClass {
    let (provisioner, parameters, mount_options) = match subject {
        Some(subject) => (
            subject.provisioner.clone(),
            subject.class.parameters.clone(),
            subject.class.mount_options.clone(),
        ),
        None => (NO_PROVISIONER.to_owned(), BTreeMap::new(), Vec::new()),
    };
    StorageClass {
        metadata: named(&names.class()),
        provisioner,
        parameters: Some(parameters),
        mount_options: Some(mount_options),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("Immediate".to_owned()),
        ..StorageClass::default()
    }
}

/// A claim.
pub(super) fn claim(names: &Names, index: usize) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: named(&names.object(index)),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![ACCESS_MODE.to_owned()]),
            storage_class_name: Some(names.class()),
            resources: Some(VolumeResourceRequirements {
                requests: Some(storage()),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// A volume that is made beforehand, reserved for its claim as an admin would. The controller-manager
/// leaves it when it is Released, for its policy is Retain; the bench deletes it then.
pub(super) fn volume(names: &Names, index: usize) -> PersistentVolume {
    let name = names.object(index);
    PersistentVolume {
        metadata: named(&name),
        spec: Some(PersistentVolumeSpec {
            access_modes: Some(vec![ACCESS_MODE.to_owned()]),
            capacity: Some(storage()),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: Some(NAMESPACE.to_owned()),
                name: Some(name.clone()),
                ..ObjectReference::default()
            }),
            nfs: Some(NFSVolumeSource {
                server: "127.0.0.1".to_owned(),
                path: format!("/export/{name}"),
                read_only: None,
            }),
            persistent_volume_reclaim_policy: Some("Retain".to_owned()),
            storage_class_name: Some(names.class()),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn storage() -> BTreeMap<String, Quantity> {
    BTreeMap::from([("storage".to_owned(), Quantity(SIZE.to_owned()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_burst_and_number() {
        let (first, tenth) = (Names::of(1), Names::of(10));
        assert_eq!(first.object(42), "bench-1-00042");
        assert_eq!(first.index("bench-1-00042"), Some(42));
        assert_eq!(first.index(&tenth.object(42)), None);
        assert_eq!(tenth.index(&first.object(0)), None);
        assert_eq!(first.index("bench-1"), None);
        assert_eq!(first.index(&first.object(123_456)), Some(123_456));

        let idle = Names::beside(1, "idle");
        assert_eq!(idle.class(), first.class());
        assert_eq!(idle.index(&idle.object(3)), Some(3));
        assert_eq!(first.index(&idle.object(3)), None);
        assert_eq!(idle.index(&first.object(3)), None);
    }

    #[test]
    fn a_volume_belongs_to_the_claim_it_names_in_the_benchs_own_namespace() {
        let names = Names::of(3);
        let mut volume = volume(&names, 7);
        assert_eq!(names.of_volume(&volume), Some(7));
        assert_eq!(names.of_claim(&claim(&names, 7)), Some(7));
        let reference = volume.spec.as_mut().unwrap().claim_ref.as_mut().unwrap();
        reference.namespace = Some("default".to_owned());
        assert_eq!(names.of_volume(&volume), None);
    }

    #[test]
    fn what_a_subjects_classes_keep_the_bench_deletes() {
        let mut subject = Subject::open("reference").unwrap();
        subject.class.reclaim_policy = testbed::subject::ReclaimPolicy::Retain;
        let class = class(&Names::of(1), Some(&subject));
        assert_eq!(class.provisioner, subject.provisioner);
        assert_eq!(class.reclaim_policy.as_deref(), Some("Delete"));
    }
}

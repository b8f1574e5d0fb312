//! Volumes have the policy Delete whatever the class says.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "reclaim-policy-fixed",
    defect: "Volumes have the policy Delete whatever the class says.",
    target: "B05",
    kin: &["R02", "R12"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        if let Some(spec) = &mut volume.spec {
            spec.persistent_volume_reclaim_policy = Some("Delete".to_owned());
        }
        volume
    }
}

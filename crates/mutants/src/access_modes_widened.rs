//! Volumes allow `ReadWriteMany` whatever the claim asks for.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "access-modes-widened",
    defect: "Volumes allow ReadWriteMany whatever the claim asks for.",
    target: "B03",
    kin: &["G02", "M02"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        if let Some(spec) = &mut volume.spec {
            let modes = spec.access_modes.get_or_insert_default();
            if !modes.iter().any(|mode| mode == "ReadWriteMany") {
                modes.push("ReadWriteMany".to_owned());
            }
        }
        volume
    }
}

//! Volumes for `ReadOnlyMany` allow `ReadWriteOnce` in its stead.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "read-only-many-denied",
    defect: "Volumes for ReadOnlyMany allow ReadWriteOnce in its stead.",
    target: "M02",
    kin: &["B03"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        let modes = volume
            .spec
            .as_mut()
            .and_then(|spec| spec.access_modes.as_mut());
        for mode in modes.into_iter().flatten() {
            if mode == "ReadOnlyMany" {
                "ReadWriteOnce".clone_into(mode);
            }
        }
        volume
    }
}

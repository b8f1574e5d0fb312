//! Released volumes are reclaimed although their policy is Retain.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "retain-ignored",
    defect: "Released volumes are reclaimed although their policy is Retain.",
    target: "R02",
    kin: &["R09", "R12"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn is_reclaimable(&self, volume: &PersistentVolume) -> bool {
        let status = volume.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Released")
    }
}

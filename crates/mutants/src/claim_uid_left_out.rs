//! Volumes name their claim without its UID.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "claim-uid-left-out",
    defect: "Volumes name their claim without its UID.",
    target: "B01",
    // It touches claims while they are bound: one that is looked at in between meets a volume with a
    // UID, which is not the one that this mutant wants, and its directory goes.
    kin: &["B16"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        if let Some(spec) = &mut volume.spec
            && let Some(claim) = &mut spec.claim_ref
        {
            claim.uid = None;
        }
        volume
    }
}

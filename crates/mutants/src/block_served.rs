//! Claims for block devices get a directory.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::decide::{self, ClaimDecision};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "block-served",
    defect: "Claims for block devices get a directory.",
    target: "M01",
    kin: &["E02"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn claim_decision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> ClaimDecision {
        let mut claim = claim.clone();
        if let Some(spec) = &mut claim.spec {
            spec.volume_mode = None;
        }
        decide::claim_decision(&claim, class)
    }
}

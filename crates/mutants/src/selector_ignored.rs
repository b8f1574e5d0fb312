//! Claims with a selector get a volume that nobody selected.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::decide::{self, ClaimDecision};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "selector-ignored",
    defect: "Claims with a selector get a volume that nobody selected.",
    target: "B13",
    kin: &[],
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
            spec.selector = None;
        }
        decide::claim_decision(&claim, class)
    }
}

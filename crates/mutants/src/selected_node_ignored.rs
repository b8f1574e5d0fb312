//! Claims that wait for their first consumer are served before a node is selected.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::decide::{self, ClaimDecision};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "selected-node-ignored",
    defect: "Claims that wait for their first consumer are served before a node is selected.",
    target: "W05",
    kin: &["W01", "W02"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn claim_decision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> ClaimDecision {
        let mut class = class.cloned();
        if let Some(class) = &mut class {
            class.volume_binding_mode = None;
        }
        decide::claim_decision(claim, class.as_ref())
    }
}

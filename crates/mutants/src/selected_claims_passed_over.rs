//! Claims of classes that wait for the first consumer are never served.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::constants::WAIT_FOR_FIRST_CONSUMER;
use provisioner::decide::{self, ClaimDecision};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "selected-claims-passed-over",
    defect: "Claims of classes that wait for the first consumer are never served.",
    target: "W02",
    kin: &["W05"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn claim_decision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> ClaimDecision {
        let mode = class.and_then(|class| class.volume_binding_mode.as_deref());
        if mode == Some(WAIT_FOR_FIRST_CONSUMER) {
            return ClaimDecision::Wait("its class waits for the first consumer");
        }
        decide::claim_decision(claim, class)
    }
}

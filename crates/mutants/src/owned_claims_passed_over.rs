//! Claims that belong to another object, such as a pod, are neither served nor refused.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use provisioner::config::Target;
use provisioner::decide;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "owned-claims-passed-over",
    defect: "Claims that belong to another object, such as a pod, are neither served nor refused.",
    target: "M11",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn is_our_claim(
        &self,
        target: &Target,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> bool {
        claim.owner_references().is_empty() && decide::is_our_claim(target, claim, class)
    }
}

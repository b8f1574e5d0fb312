//! Claims for other provisioners are served.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use provisioner::config::Target;
use provisioner::constants::STORAGE_PROVISIONER;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "foreign-claims-taken",
    defect: "Claims for other provisioners are served.",
    target: "B10",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn is_our_claim(
        &self,
        _: &Target,
        claim: &PersistentVolumeClaim,
        _: Option<&StorageClass>,
    ) -> bool {
        claim.annotations().contains_key(STORAGE_PROVISIONER)
    }
}

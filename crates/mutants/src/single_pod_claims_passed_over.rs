//! Claims for `ReadWriteOncePod` are neither served nor refused.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::config::Target;
use provisioner::decide;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "single-pod-claims-passed-over",
    defect: "Claims for ReadWriteOncePod are neither served nor refused.",
    target: "M16",
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
        let spec = claim.spec.as_ref();
        let modes = spec.and_then(|spec| spec.access_modes.as_deref());
        let single = modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"));
        !single && decide::is_our_claim(target, claim, class)
    }
}

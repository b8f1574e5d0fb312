//! Class parameters that nobody knows are ignored in silence.

use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::class::ClassParameters;
use provisioner::config::UnknownParameters;
use provisioner::decide::{self, Refusal};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "unknown-parameters-accepted",
    defect: "Class parameters that nobody knows are ignored in silence.",
    target: "P01",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn class_parameters(
        &self,
        class: &StorageClass,
        _: UnknownParameters,
    ) -> Result<ClassParameters, Refusal> {
        decide::class_parameters(class, UnknownParameters::Warn)
    }
}

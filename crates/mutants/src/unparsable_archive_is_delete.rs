//! A value of archiveOnDelete that is no boolean means false.

use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::class::ClassParameters;
use provisioner::config::UnknownParameters;
use provisioner::decide::{self, Refusal};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "unparsable-archive-is-delete",
    defect: "A value of archiveOnDelete that is no boolean means false.",
    target: "P02",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn class_parameters(
        &self,
        class: &StorageClass,
        unknown: UnknownParameters,
    ) -> Result<ClassParameters, Refusal> {
        let sound = decide::class_parameters(class, unknown);
        if sound.is_ok() {
            return sound;
        }
        let mut class = class.clone();
        let parameters = class.parameters.get_or_insert_default();
        if let Some(value) = parameters.get_mut("archiveOnDelete") {
            "false".clone_into(value);
        }
        decide::class_parameters(&class, unknown)
    }
}

//! Directories that onDelete says to delete are archived.

use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::class::{ClassParameters, OnDelete};
use provisioner::config::UnknownParameters;
use provisioner::decide::{self, Refusal};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "on-delete-archives",
    defect: "Directories that onDelete says to delete are archived.",
    target: "R04",
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
        let mut parameters = decide::class_parameters(class, unknown)?;
        let given = class.parameters.as_ref();
        if given
            .and_then(|given| given.get("onDelete"))
            .is_some_and(|value| value == "delete")
        {
            parameters.on_delete = OnDelete::Archive;
        }
        Ok(parameters)
    }
}

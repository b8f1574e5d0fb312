//! Directories that onDelete says to retain are removed.

use provisioner::class::{ClassParameters, OnDelete};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "on-delete-ignored",
    defect: "Directories that onDelete says to retain are removed.",
    target: "R05",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn on_delete(&self, parameters: &ClassParameters) -> OnDelete {
        match parameters.on_delete {
            OnDelete::Retain | OnDelete::Delete => OnDelete::Delete,
            OnDelete::Archive => OnDelete::Archive,
        }
    }
}

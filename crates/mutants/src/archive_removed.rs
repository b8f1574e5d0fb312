//! Directories are removed where they should be archived.

use provisioner::class::{ClassParameters, OnDelete};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "archive-removed",
    defect: "Directories are removed where they should be archived.",
    target: "R03",
    kin: &["P04", "G05"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn on_delete(&self, parameters: &ClassParameters) -> OnDelete {
        match parameters.on_delete {
            OnDelete::Archive | OnDelete::Delete => OnDelete::Delete,
            OnDelete::Retain => OnDelete::Retain,
        }
    }
}

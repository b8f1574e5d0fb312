//! The volume object is deleted before its directory.

use provisioner::decide::reclaim::RemovalStep;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "volume-before-directory",
    defect: "The volume object is deleted before its directory.",
    target: "R01",
    // Each of them looks for the directory once the volume is gone.
    kin: &[
        "P04", "R03", "R04", "R07", "R09", "R11", "R13", "G04", "G05", "G06", "G15",
    ],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn removal_order(&self) -> [RemovalStep; 2] {
        [RemovalStep::Volume, RemovalStep::Directory]
    }
}

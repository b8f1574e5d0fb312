//! No event tells that a volume was provisioned.

use provisioner::config::Target;
use provisioner::events::{self, Notice, Words};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "success-untold",
    defect: "No event tells that a volume was provisioned.",
    target: "E01",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn words(&self, notice: &Notice, target: &Target) -> Option<Words> {
        match notice {
            Notice::ProvisioningSucceeded { .. } => None,
            _ => Some(events::words(notice, target)),
        }
    }
}

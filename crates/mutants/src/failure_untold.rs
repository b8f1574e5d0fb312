//! No event tells why a claim is not served.

use provisioner::config::Target;
use provisioner::events::{self, Notice, Words};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "failure-untold",
    defect: "No event tells why a claim is not served.",
    target: "E02",
    kin: &["B13", "M01", "P01", "P02", "N04"],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn words(&self, notice: &Notice, target: &Target) -> Option<Words> {
        match notice {
            Notice::ProvisioningFailed { .. } | Notice::BlockUnsupported => None,
            _ => Some(events::words(notice, target)),
        }
    }
}

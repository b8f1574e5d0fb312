//! Faulty variants of the reference provisioner. Each has one deliberate defect at one of the
//! provisioner's seams, and names the case that must catch it: the suite is tested by them.

use std::sync::Arc;

use provisioner::rules::Rules;
use provisioner::seams::Seams;

mod access_modes_widened;
mod archive_removed;
mod block_served;
mod failure_untold;
mod foreign_claims_taken;
mod mount_options_dropped;
mod namespace_left_out;
mod on_delete_ignored;
mod owned_claims_passed_over;
mod prebound_claims_served;
mod reclaim_policy_fixed;
mod retain_ignored;
mod selected_node_ignored;
mod selector_ignored;
mod single_pod_claims_passed_over;
mod success_untold;
mod unknown_parameters_accepted;
mod volume_before_directory;

/// A provisioner with one defect.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, as flags and reports write it.
    pub name: &'static str,
    /// What it does wrong, in one sentence.
    pub defect: &'static str,
    /// Id of the case that must catch it.
    pub target: &'static str,
    /// Ids of close kin: cases that may catch it as well, for the same cause.
    pub kin: &'static [&'static str],
    /// Puts the defect between the provisioner and one of its seams.
    pub wrap: fn(Seams) -> Seams,
}

/// Every mutant, by the case it is for.
pub const MUTANTS: &[Mutant] = &[
    access_modes_widened::MUTANT,
    reclaim_policy_fixed::MUTANT,
    mount_options_dropped::MUTANT,
    foreign_claims_taken::MUTANT,
    prebound_claims_served::MUTANT,
    selector_ignored::MUTANT,
    namespace_left_out::MUTANT,
    unknown_parameters_accepted::MUTANT,
    volume_before_directory::MUTANT,
    retain_ignored::MUTANT,
    archive_removed::MUTANT,
    on_delete_ignored::MUTANT,
    selected_node_ignored::MUTANT,
    block_served::MUTANT,
    owned_claims_passed_over::MUTANT,
    single_pod_claims_passed_over::MUTANT,
    success_untold::MUTANT,
    failure_untold::MUTANT,
];

/// The mutant of this name.
pub fn mutant(name: &str) -> Option<&'static Mutant> {
    MUTANTS.iter().find(|mutant| mutant.name == name)
}

/// The seams with other decisions.
fn with_rules(seams: Seams, rules: impl Rules) -> Seams {
    Seams {
        rules: Arc::new(rules),
        ..seams
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_no_mutant_is_its_own_kin() {
        let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        assert!(
            MUTANTS
                .iter()
                .all(|mutant| !mutant.kin.contains(&mutant.target))
        );
    }

    #[test]
    fn each_mutant_is_for_a_case_of_its_own() {
        let targets: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.target).collect();
        assert_eq!(targets.len(), MUTANTS.len());
    }
}

//! Faulty variants of the reference provisioner. Each has one deliberate defect at one of the
//! provisioner's seams, and names the case that must catch it: the suite is tested by them.

use std::sync::Arc;

use provisioner::rules::Rules;
use provisioner::seams::Seams;

mod access_modes_widened;
mod archive_removed;
mod block_served;
mod capacity_rounded_down;
mod claim_uid_left_out;
mod dotted_labels_ignored;
mod failure_untold;
mod first_policy_kept;
mod foreign_claims_taken;
mod mount_options_dropped;
mod namespace_left_out;
mod near_names_taken;
mod nested_directories_left;
mod on_delete_archives;
mod on_delete_ignored;
mod outside_paths_followed;
mod owned_claims_passed_over;
mod prebound_claims_served;
mod read_only_many_denied;
mod reclaim_policy_fixed;
mod retain_ignored;
mod selected_claims_passed_over;
mod selected_node_ignored;
mod selector_ignored;
mod single_pod_claims_passed_over;
mod success_untold;
mod terminating_claims_gone;
mod unknown_parameters_accepted;
mod unparsable_archive_is_delete;
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
    claim_uid_left_out::MUTANT,
    capacity_rounded_down::MUTANT,
    access_modes_widened::MUTANT,
    reclaim_policy_fixed::MUTANT,
    mount_options_dropped::MUTANT,
    foreign_claims_taken::MUTANT,
    prebound_claims_served::MUTANT,
    selector_ignored::MUTANT,
    namespace_left_out::MUTANT,
    dotted_labels_ignored::MUTANT,
    nested_directories_left::MUTANT,
    unknown_parameters_accepted::MUTANT,
    unparsable_archive_is_delete::MUTANT,
    volume_before_directory::MUTANT,
    retain_ignored::MUTANT,
    archive_removed::MUTANT,
    on_delete_archives::MUTANT,
    on_delete_ignored::MUTANT,
    first_policy_kept::MUTANT,
    near_names_taken::MUTANT,
    terminating_claims_gone::MUTANT,
    selected_claims_passed_over::MUTANT,
    selected_node_ignored::MUTANT,
    block_served::MUTANT,
    read_only_many_denied::MUTANT,
    owned_claims_passed_over::MUTANT,
    single_pod_claims_passed_over::MUTANT,
    success_untold::MUTANT,
    failure_untold::MUTANT,
    outside_paths_followed::MUTANT,
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

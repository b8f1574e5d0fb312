//! The kill matrix: which mutant was caught by which case, and whether it was the right one.

use std::collections::BTreeMap;
use std::time::Duration;

use ::mutants::Mutant;
use conformance::catalogue;
use conformance::outcome::Outcome;
use conformance::report::model::CaseRecord;
use serde::Serialize;

/// What a sound subject does within, many times over; a mutant need not be waited for as long as a
/// provisioner of somebody's.
const LIMITS: [(&str, u64); 3] = [("claim-bound", 12), ("volume-reclaimed", 12), ("event", 8)];

/// One case of each group, to see that a defect in one place is not seen in another.
const WITNESSES: [&str; 12] = [
    "B01", "N01", "P04", "R02", "R04", "D01", "W02", "M02", "E01", "T06", "X02", "G02",
];

/// The result of all mutants: the content of `mutants.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Matrix {
    /// How many there are.
    pub(crate) total: usize,
    /// How many the case named for them caught.
    pub(crate) killed: usize,
    /// Each.
    pub(crate) mutants: Vec<Verdict>,
}

/// What became of one mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Its name.
    pub(crate) name: String,
    /// The case that must catch it.
    pub(crate) target: String,
    /// Whether that case failed.
    pub(crate) killed: bool,
    /// Every case that failed.
    pub(crate) killers: Vec<String>,
    /// Cases that failed, or gave no verdict, without being the target or close kin.
    pub(crate) unexpected: Vec<String>,
}

impl Matrix {
    /// The matrix of these verdicts.
    pub(crate) fn of(mutants: Vec<Verdict>) -> Self {
        let killed = mutants.iter().filter(|verdict| verdict.killed).count();
        Self {
            total: mutants.len(),
            killed,
            mutants,
        }
    }

    /// Whether every mutant was caught by its case, and by nothing unrelated.
    pub(crate) fn is_clean(&self) -> bool {
        self.killed == self.total
            && self
                .mutants
                .iter()
                .all(|verdict| verdict.unexpected.is_empty())
    }
}

impl Verdict {
    /// The verdict on `mutant` from what the cases came to.
    pub(crate) fn of(mutant: &Mutant, records: &[CaseRecord]) -> Self {
        let ids = |wanted: &dyn Fn(&CaseRecord) -> bool| -> Vec<String> {
            records
                .iter()
                .filter(|record| wanted(record))
                .map(|record| record.id.clone())
                .collect()
        };
        let killers = ids(&|record| record.outcome == Outcome::Failed);
        let unexpected = ids(&|record| {
            let kin = record.id == mutant.target || mutant.kin.contains(&record.id.as_str());
            // A case without a verdict has caught nothing, kin or not.
            record.outcome == Outcome::Inconclusive || record.outcome == Outcome::Failed && !kin
        });
        Self {
            name: mutant.name.to_owned(),
            target: mutant.target.to_owned(),
            killed: killers.iter().any(|id| id == mutant.target),
            killers,
            unexpected,
        }
    }
}

/// The cases a mutant is tried with: its target and kin, those of the target's group, and a witness
/// of each other group.
pub(crate) fn cases(mutant: &Mutant) -> Vec<&'static str> {
    let group = mutant.target.chars().next();
    catalogue::rows()
        .map(|row| row.id)
        .filter(|id| {
            *id == mutant.target
                || mutant.kin.contains(id)
                || id.chars().next() == group
                || WITNESSES.contains(id)
        })
        .collect()
}

/// The limits mutants are judged by.
pub(crate) fn limits() -> BTreeMap<String, Duration> {
    LIMITS
        .iter()
        .map(|(name, seconds)| ((*name).to_owned(), Duration::from_secs(*seconds)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTANT: Mutant = Mutant {
        name: "probe",
        defect: "It is none.",
        target: "B06",
        kin: &["N02"],
        wrap: |seams| seams,
    };

    fn record(id: &str, outcome: Outcome) -> CaseRecord {
        let row = catalogue::row(id).unwrap();
        CaseRecord {
            id: row.id.to_owned(),
            name: row.name.to_owned(),
            title: row.title.to_owned(),
            group: String::new(),
            level: row.level.to_string(),
            profile: row.profile.to_string(),
            mode: row.mode.to_string(),
            source: row.source.to_owned(),
            outcome,
            reason: None,
            duration_ms: 0,
            failure: None,
            timeline: Vec::new(),
        }
    }

    #[test]
    fn only_the_target_kills_and_only_kin_may_fail_beside_it() {
        let verdict = Verdict::of(
            &MUTANT,
            &[
                record("B01", Outcome::Passed),
                record("B06", Outcome::Failed),
                record("N02", Outcome::Failed),
                record("R01", Outcome::Failed),
                record("R02", Outcome::Inconclusive),
            ],
        );
        assert!(verdict.killed);
        assert_eq!(verdict.killers, ["B06", "N02", "R01"]);
        assert_eq!(verdict.unexpected, ["R01", "R02"]);
        assert!(!Matrix::of(vec![verdict]).is_clean());
    }

    #[test]
    fn a_mutant_that_only_kin_catches_is_not_killed() {
        let records = [
            record("B06", Outcome::Passed),
            record("N02", Outcome::Failed),
        ];
        let verdict = Verdict::of(&MUTANT, &records);
        assert!(!verdict.killed);
        assert!(!Matrix::of(vec![verdict]).is_clean());
    }

    #[test]
    fn an_inconclusive_target_is_no_kill() {
        let verdict = Verdict::of(&MUTANT, &[record("B06", Outcome::Inconclusive)]);
        assert!(!verdict.killed);
        assert_eq!(verdict.unexpected, ["B06"]);
    }

    #[test]
    fn a_mutant_is_tried_with_its_target_kin_group_and_a_witness_of_each_other() {
        let cases = cases(&MUTANT);
        for id in ["B06", "N02", "B01", "B11", "X02"] {
            assert!(cases.contains(&id), "{id}");
        }
        assert!(!cases.contains(&"X01"));
    }

    #[test]
    fn every_target_kin_and_witness_is_a_case_and_every_limit_exists() {
        let known = |id: &str| conformance::cases::case(id).is_some();
        for mutant in ::mutants::MUTANTS {
            assert!(known(mutant.target), "{}: {}", mutant.name, mutant.target);
            assert!(mutant.kin.iter().all(|id| known(id)), "{}", mutant.name);
        }
        assert!(WITNESSES.iter().all(|id| known(id)));
        conformance::limits::Limits::with(limits()).unwrap();
    }
}

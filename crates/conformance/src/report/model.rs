//! The report object, schema `claimcheck/report/v1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::world::Mark;
use crate::world::cleanup::Leak;

/// The schema's name and version: a field is never removed or given another meaning within one.
pub const SCHEMA: &str = "claimcheck/report/v1";

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The suite that judged.
    pub suite: SuiteInfo,
    /// What was judged.
    pub subject: SubjectInfo,
    /// Where.
    pub cluster: ClusterInfo,
    /// When it started (RFC 3339, UTC).
    pub started: String,
    /// How long it took, all stages.
    pub duration_ms: u64,
    /// How long each stage took.
    pub timings: Timings,
    /// Every profile that the subject declares.
    pub profiles: Vec<ProfileResult>,
    /// Cases by outcome.
    pub totals: Totals,
    /// Every row of the catalogue, in its order.
    pub cases: Vec<CaseRecord>,
    /// Percentiles by phase.
    pub latency: BTreeMap<String, Latency>,
    /// What was left over.
    pub ledger: Ledger,
}

/// The suite that judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteInfo {
    /// Its version.
    pub version: String,
    /// [`crate::catalogue::sha256`].
    pub catalogue_sha256: String,
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectInfo {
    /// Its name.
    pub name: String,
    /// Its version, where the subject file gives one.
    pub version: Option<String>,
    /// Its provisioner name.
    pub provisioner: String,
    /// SHA-256 of the subject file.
    pub digest: String,
}

/// Where it was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// `local`, `kind` or `existing`.
    pub kind: String,
    /// The Kubernetes version.
    pub kubernetes: String,
    /// The modes it offers.
    pub modes: Vec<String>,
}

/// How long each stage took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Finding the tools.
    pub tools_ms: u64,
    /// Booting the cluster.
    pub boot_ms: u64,
    /// Starting the subject.
    pub deploy_ms: u64,
    /// Running the cases.
    pub cases_ms: u64,
}

/// The verdict on one profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileVerdict {
    /// Every applicable row was judged and passed.
    Passed,
    /// A case failed or was flaky.
    Failed,
    /// None failed, but a row has no case yet, or was left out, or the testbed could not run it.
    Partial,
    /// None failed, but one was inconclusive.
    Inconclusive,
}

/// One profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileResult {
    /// Its name.
    pub name: String,
    /// The verdict.
    pub verdict: ProfileVerdict,
    /// Cases passed.
    pub passed: usize,
    /// Cases failed or flaky.
    pub failed: usize,
    /// Rows skipped.
    pub skipped: usize,
    /// Cases without a verdict.
    pub inconclusive: usize,
}

/// Rows by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Cases passed.
    pub passed: usize,
    /// Cases failed.
    pub failed: usize,
    /// Rows skipped.
    pub skipped: usize,
    /// Cases without a verdict.
    pub inconclusive: usize,
    /// Cases that passed only on a retry.
    pub flaky: usize,
}

/// One row in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// Its id.
    pub id: String,
    /// The catalogue's title.
    pub name: String,
    /// Its assertion.
    pub title: String,
    /// The title of its group.
    pub group: String,
    /// How binding it is.
    pub level: String,
    /// Its profile.
    pub profile: String,
    /// The mode it needs.
    pub mode: String,
    /// The source of the rule.
    pub source: String,
    /// What it came to.
    pub outcome: Outcome,
    /// Why it was skipped or is inconclusive.
    pub reason: Option<String>,
    /// How long it took, without its clean-up.
    pub duration_ms: u64,
    /// What was wrong.
    pub failure: Option<Failure>,
    /// What happened, in order.
    pub timeline: Vec<Mark>,
}

/// A failure: what a person needs to believe it and to see it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What the rule requires.
    pub expected: String,
    /// What was seen.
    pub observed: String,
    /// Object states, events and listings.
    pub evidence: Vec<String>,
    /// The command that runs this case again and keeps the cluster.
    pub rerun: String,
}

/// Percentiles of one phase, in milliseconds (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: usize,
    /// Median.
    pub p50_ms: u64,
    /// 90th percentile.
    pub p90_ms: u64,
    /// 99th percentile.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

/// What was left over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Each left-over thing, with the case it is charged to; an empty case: nobody's.
    pub leaks: Vec<Leak>,
}

impl Latency {
    /// The percentiles of `samples`, in any order; `None` when there are none.
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let max_ms = *samples.last()?;
        // Nearest rank: the smallest sample that at least p percent do not exceed.
        let rank = |p: usize| samples[(samples.len() * p).div_ceil(100).max(1) - 1];
        Some(Self {
            count: samples.len(),
            p50_ms: rank(50),
            p90_ms: rank(90),
            p99_ms: rank(99),
            max_ms,
        })
    }
}

impl Totals {
    /// Counts `records` by outcome.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a CaseRecord>) -> Self {
        let mut totals = Self::default();
        for record in records {
            *match record.outcome {
                Outcome::Passed => &mut totals.passed,
                Outcome::Failed => &mut totals.failed,
                Outcome::Skipped => &mut totals.skipped,
                Outcome::Inconclusive => &mut totals.inconclusive,
                Outcome::Flaky => &mut totals.flaky,
            } += 1;
        }
        totals
    }
}

impl ProfileResult {
    /// The verdict on the profile `name`, from every record of the run.
    pub fn of(name: &str, records: &[CaseRecord]) -> Self {
        let ours: Vec<_> = records
            .iter()
            .filter(|record| record.profile == name)
            .collect();
        let totals = Totals::of(ours.iter().copied());
        // A row that does not apply to this subject takes nothing from the verdict; any other
        // skip does.
        let unjudged = ours.iter().any(|record| {
            record.outcome == Outcome::Skipped
                && !record
                    .reason
                    .as_deref()
                    .is_some_and(|reason| reason.starts_with("undeclared-feature"))
        });
        let verdict = if totals.failed + totals.flaky > 0 {
            ProfileVerdict::Failed
        } else if totals.inconclusive > 0 {
            ProfileVerdict::Inconclusive
        } else if unjudged || totals.passed == 0 {
            ProfileVerdict::Partial
        } else {
            ProfileVerdict::Passed
        };
        Self {
            name: name.to_owned(),
            verdict,
            passed: totals.passed,
            failed: totals.failed + totals.flaky,
            skipped: totals.skipped,
            inconclusive: totals.inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome, reason: Option<&str>) -> CaseRecord {
        CaseRecord {
            id: "B01".to_owned(),
            name: String::new(),
            title: String::new(),
            group: String::new(),
            level: String::new(),
            profile: "core".to_owned(),
            mode: String::new(),
            source: String::new(),
            outcome,
            reason: reason.map(str::to_owned),
            duration_ms: 0,
            failure: None,
            timeline: Vec::new(),
        }
    }

    fn verdict(records: &[CaseRecord]) -> ProfileVerdict {
        ProfileResult::of("core", records).verdict
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let latency = Latency::of((1..=200).rev().collect()).unwrap();
        assert_eq!(
            (latency.p50_ms, latency.p90_ms, latency.p99_ms),
            (100, 180, 198)
        );
        assert_eq!(Latency::of(vec![7]).unwrap().p50_ms, 7);
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn a_profile_with_rows_that_have_no_case_is_never_passed() {
        let passed = record(Outcome::Passed, None);
        let missing = record(Outcome::Skipped, Some("not-implemented"));
        let undeclared = record(Outcome::Skipped, Some("undeclared-feature: quota"));
        assert_eq!(
            verdict(&[passed.clone(), undeclared]),
            ProfileVerdict::Passed
        );
        assert_eq!(verdict(&[passed, missing]), ProfileVerdict::Partial);
        assert_eq!(verdict(&[]), ProfileVerdict::Partial);
    }

    #[test]
    fn a_failure_outweighs_everything_and_flaky_counts_as_one() {
        let flaky = record(Outcome::Flaky, None);
        let inconclusive = record(Outcome::Inconclusive, Some("the export is away"));
        assert_eq!(
            verdict(&[inconclusive.clone(), flaky]),
            ProfileVerdict::Failed
        );
        let passed = record(Outcome::Passed, None);
        assert_eq!(
            verdict(&[passed, inconclusive]),
            ProfileVerdict::Inconclusive
        );
    }
}

//! Records of rows: what a verdict, a leak or a failed clean-up makes of them.

use std::time::Duration;

use super::{RunOptions, passed};
use crate::catalogue::{Row, group_of};
use crate::outcome::{Outcome, SkipReason};
use crate::report::model::{CaseRecord, Failure};
use crate::trouble::{CaseResult, Trouble};
use crate::world::cleanup::Leak;

/// The record of a judged row.
pub(super) fn of(
    row: &'static Row,
    result: &CaseResult,
    duration: Duration,
    options: &RunOptions,
) -> CaseRecord {
    let mut record = blank(row);
    record.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(()) => record.outcome = Outcome::Passed,
        Err(Trouble::Inconclusive(cause)) => {
            record.outcome = Outcome::Inconclusive;
            record.reason = Some(cause.clone());
        }
        Err(Trouble::Failed(finding)) => {
            record.outcome = Outcome::Failed;
            record.failure = Some(Failure {
                expected: finding.expected.clone(),
                observed: finding.observed.clone(),
                evidence: finding.evidence.clone(),
                rerun: rerun(options, row.id),
            });
        }
    }
    record
}

/// The record of a row that is not judged.
pub(super) fn skipped(row: &'static Row, reason: &SkipReason) -> CaseRecord {
    CaseRecord {
        reason: Some(reason.to_string()),
        ..blank(row)
    }
}

/// A pass that left something behind is a failure.
pub(super) fn charge(
    record: &mut CaseRecord,
    leaks: &[Leak],
    evidence: &[String],
    options: &RunOptions,
) {
    if !passed(record) || leaks.is_empty() {
        return;
    }
    let listed: Vec<String> = leaks
        .iter()
        .map(|leak| format!("{} {}", leak.kind, leak.name))
        .collect();
    record.outcome = Outcome::Failed;
    record.failure = Some(Failure {
        expected: "nothing of the case is left after its claims are deleted".to_owned(),
        observed: format!("left over: {}", listed.join(", ")),
        evidence: evidence.to_vec(),
        rerun: rerun(options, &record.id),
    });
}

/// A clean-up that fails takes a pass back: what follows may be disturbed.
pub(super) fn spoil(record: &mut CaseRecord, troubles: &[String]) {
    if passed(record) && !troubles.is_empty() {
        record.outcome = Outcome::Inconclusive;
        record.reason = Some(format!("clean-up: {}", troubles.join("; ")));
    }
}

fn rerun(options: &RunOptions, id: &str) -> String {
    format!("{} --only {id} --keep always", options.rerun)
}

fn blank(row: &'static Row) -> CaseRecord {
    CaseRecord {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
        title: row.title.to_owned(),
        group: group_of(row).title.to_owned(),
        level: row.level.to_string(),
        profile: row.profile.to_string(),
        mode: row.mode.to_string(),
        source: row.source.to_owned(),
        outcome: Outcome::Skipped,
        reason: None,
        duration_ms: 0,
        failure: None,
        timeline: Vec::new(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::case::Case;
    use crate::runner::{Done, Keep};

    /// Options of a run that nothing disturbs.
    pub(in crate::runner) fn options() -> RunOptions {
        RunOptions {
            parallel: 8,
            captures: "captures".into(),
            keep: Keep::Never,
            rerun: "claimcheck run".to_owned(),
            interrupted: CancellationToken::new(),
            broken: watch::channel(None).1,
        }
    }

    /// A case that passed.
    pub(in crate::runner) fn passed(case: &Case) -> Done {
        let record = of(case.row(), &Ok(()), Duration::ZERO, &options());
        Done {
            record,
            leaks: Vec::new(),
            samples: Vec::new(),
            namespace: None,
        }
    }

    fn record(result: &CaseResult) -> CaseRecord {
        of(
            crate::catalogue::row("B01").unwrap(),
            result,
            Duration::from_secs(1),
            &options(),
        )
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let failed = record(&Err(
            Trouble::failed("it is so", "it is not").with_evidence("look")
        ));
        assert_eq!(failed.outcome, Outcome::Failed);
        let failure = failed.failure.unwrap();
        assert_eq!(failure.evidence, ["look"]);
        assert_eq!(failure.rerun, "claimcheck run --only B01 --keep always");
    }

    #[test]
    fn a_leak_and_a_failed_clean_up_take_back_a_pass_and_change_nothing_else() {
        let leak = Leak::new("directory", "cc-b01-1-data", "B01");
        let mut leaking = record(&Ok(()));
        charge(&mut leaking, std::slice::from_ref(&leak), &[], &options());
        assert_eq!(leaking.outcome, Outcome::Failed);
        assert_eq!(
            leaking.failure.unwrap().observed,
            "left over: directory cc-b01-1-data"
        );

        let mut dirty = record(&Ok(()));
        spoil(&mut dirty, &["namespace cc-b01-1: refused".to_owned()]);
        assert_eq!(dirty.outcome, Outcome::Inconclusive);
        assert_eq!(
            dirty.reason.unwrap(),
            "clean-up: namespace cc-b01-1: refused"
        );

        let failed = record(&Err(Trouble::failed("a", "b")));
        let mut same = failed.clone();
        charge(&mut same, &[leak], &[], &options());
        spoil(&mut same, &["x".to_owned()]);
        assert_eq!(same, failed);
    }
}

//! The exit codes. They are public: a code is never given another meaning.

use conformance::report::model::Totals;
use serde::{Deserialize, Serialize};

/// Nothing failed.
pub const PASSED: u8 = 0;
/// A defect of Claimcheck.
pub const DEFECT: u8 = 1;
/// A mistake in a flag, the environment, `claimcheck.toml` or a subject file; nothing was started.
pub const USAGE: u8 = 2;
/// No case ran.
pub const NOTHING_RAN: u8 = 4;
/// Cases failed.
pub const CASES_FAILED: u8 = 100;
/// The testbed failed: no verdict.
pub const TESTBED: u8 = 105;
/// Interrupted by a signal.
pub const INTERRUPTED: u8 = 130;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did what it was asked for.
    Done,
    /// Cases were judged.
    Judged {
        /// Rows by outcome.
        totals: Totals,
        /// Whether a signal cut the run short.
        interrupted: bool,
    },
    /// It could not do what it was asked for.
    Failed(Cause),
    /// The reference provisioner ended; its codes are its own.
    Provisioner(u8),
}

/// What kept a command from doing what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A mistake of the caller, found before anything was started.
    Usage,
    /// No case was left to run.
    NothingRan,
    /// Tools, cluster, export or subject did not start, or broke.
    Testbed,
    /// A signal.
    Interrupted,
    /// A subject that was measured did not get through a burst of claims.
    SubjectFailed,
    /// The suite did not catch one of its mutants, or something unrelated failed on one.
    MutantSurvived,
    /// Ourselves.
    Defect,
}

/// The exit code of a command.
///
/// A failed case is definite, so it outweighs an inconclusive one; an interruption outweighs both,
/// because the selected cases were not all judged.
pub const fn code(ended: Ended) -> u8 {
    match ended {
        Ended::Done => PASSED,
        Ended::Judged {
            interrupted: true, ..
        }
        | Ended::Failed(Cause::Interrupted) => INTERRUPTED,
        Ended::Judged {
            totals,
            interrupted: false,
        } => of_totals(totals),
        Ended::Failed(Cause::MutantSurvived | Cause::SubjectFailed) => CASES_FAILED,
        Ended::Failed(Cause::Usage) => USAGE,
        Ended::Failed(Cause::NothingRan) => NOTHING_RAN,
        Ended::Failed(Cause::Testbed) => TESTBED,
        Ended::Failed(Cause::Defect) => DEFECT,
        Ended::Provisioner(code) => code,
    }
}

const fn of_totals(totals: Totals) -> u8 {
    // Named one by one, so that a new outcome does not get a code by accident.
    let Totals {
        passed,
        failed,
        skipped: _,
        inconclusive,
        flaky,
    } = totals;
    if failed > 0 || flaky > 0 {
        CASES_FAILED
    } else if inconclusive > 0 {
        TESTBED
    } else if passed == 0 {
        NOTHING_RAN
    } else {
        PASSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Totals = Totals {
        passed: 0,
        failed: 0,
        skipped: 0,
        inconclusive: 0,
        flaky: 0,
    };

    fn judged(totals: Totals) -> u8 {
        code(Ended::Judged {
            totals,
            interrupted: false,
        })
    }

    #[test]
    fn a_failure_outweighs_what_is_inconclusive() {
        assert_eq!(
            judged(Totals {
                passed: 3,
                skipped: 9,
                ..NONE
            }),
            0
        );
        assert_eq!(
            judged(Totals {
                passed: 3,
                failed: 1,
                inconclusive: 1,
                ..NONE
            }),
            100
        );
        assert_eq!(
            judged(Totals {
                passed: 3,
                inconclusive: 1,
                ..NONE
            }),
            105
        );
    }

    #[test]
    fn a_pass_on_a_retry_is_no_pass() {
        assert_eq!(
            judged(Totals {
                passed: 3,
                flaky: 1,
                ..NONE
            }),
            100
        );
    }

    #[test]
    fn a_run_of_skips_is_no_pass() {
        assert_eq!(
            judged(Totals {
                skipped: 200,
                ..NONE
            }),
            4
        );
    }

    #[test]
    fn an_interrupted_run_says_so_whatever_was_judged() {
        let totals = Totals {
            passed: 1,
            failed: 1,
            ..NONE
        };
        assert_eq!(
            code(Ended::Judged {
                totals,
                interrupted: true
            }),
            130
        );
        assert_eq!(code(Ended::Failed(Cause::Interrupted)), 130);
    }

    #[test]
    fn each_cause_has_its_code() {
        assert_eq!(code(Ended::Done), 0);
        assert_eq!(code(Ended::Failed(Cause::Defect)), 1);
        assert_eq!(code(Ended::Failed(Cause::Usage)), 2);
        assert_eq!(code(Ended::Failed(Cause::NothingRan)), 4);
        assert_eq!(code(Ended::Failed(Cause::Testbed)), 105);
        assert_eq!(code(Ended::Provisioner(1)), 1);
    }
}

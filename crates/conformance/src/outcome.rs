//! What a case comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The verdict of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The rule holds.
    Passed,
    /// The subject broke the rule.
    Failed,
    /// Not judged, for a reason known before the run.
    Skipped,
    /// The testbed broke: no verdict.
    Inconclusive,
    /// Failed, then passed on an asked-for retry: never counted as passed.
    Flaky,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Inconclusive => "inconclusive",
            Self::Flaky => "flaky",
        })
    }
}

/// Why a case is not judged: a closed set, known at list time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The subject does not declare a feature or profile that the row needs, or declares one that
    /// excludes it.
    UndeclaredFeature(String),
    /// The testbed does not offer the mode.
    MissingMode(String),
    /// The testbed offers the mode, but lacks something in it, such as kernel NFS.
    TestbedLacks(String),
    /// A flag leaves it out.
    Excluded,
    /// The row has no case yet.
    NotImplemented,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndeclaredFeature(what) => write!(formatter, "undeclared-feature: {what}"),
            Self::MissingMode(mode) => write!(formatter, "missing-mode: {mode}"),
            Self::TestbedLacks(what) => write!(formatter, "testbed-lacks: {what}"),
            Self::Excluded => formatter.write_str("excluded"),
            Self::NotImplemented => formatter.write_str("not-implemented"),
        }
    }
}

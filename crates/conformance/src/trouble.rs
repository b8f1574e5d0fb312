//! How a case ends when it does not pass: the subject is wrong, or the testbed broke.

use std::fmt;

/// What a case, or a step of one, returns.
pub type CaseResult<T = ()> = Result<T, Trouble>;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The subject broke the rule.
    Failed(Box<Finding>),
    /// No verdict was possible, for a cause that is not the subject's.
    Inconclusive(String),
}

/// What was expected of the subject, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What the rule requires here, as a fragment: `claim data is Bound within 30 s`.
    pub expected: String,
    /// What was seen instead.
    pub observed: String,
    /// The last object states, events and listings that show it.
    pub evidence: Vec<String>,
}

impl Trouble {
    /// The subject did `observed` where `expected` was due.
    pub fn failed(expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::Failed(Box::new(Finding {
            expected: expected.into(),
            observed: observed.into(),
            evidence: Vec::new(),
        }))
    }

    /// The testbed, or the suite itself, could not do its part.
    pub fn inconclusive(cause: impl Into<String>) -> Self {
        Self::Inconclusive(cause.into())
    }

    /// Adds a piece of evidence to a failure.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        if let Self::Failed(finding) = &mut self {
            finding.evidence.push(evidence.into());
        }
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(finding) => {
                write!(
                    formatter,
                    "expected {}; observed {}",
                    finding.expected, finding.observed
                )
            }
            Self::Inconclusive(cause) => write!(formatter, "inconclusive: {cause}"),
        }
    }
}

/// An API call of the suite that fails says nothing about the subject.
impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        Self::Inconclusive(format!(
            "an API call of the suite failed: {}",
            in_full(&error)
        ))
    }
}

/// Nor does an export that cannot be looked into.
impl From<testbed::nfs::view::ViewError> for Trouble {
    fn from(error: testbed::nfs::view::ViewError) -> Self {
        Self::Inconclusive(format!(
            "the export cannot be looked into: {}",
            in_full(&error)
        ))
    }
}

/// An error and its sources; a source whose text the error holds already is not said twice.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Fails the case unless `holds`.
pub fn ensure(
    holds: bool,
    expected: impl Into<String>,
    observed: impl FnOnce() -> String,
) -> CaseResult {
    if holds {
        Ok(())
    } else {
        Err(Trouble::failed(expected, observed()))
    }
}

/// Fails the case unless `observed` is `expected`; `what` names the compared thing.
pub fn ensure_eq<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(
    what: &str,
    observed: &T,
    expected: &U,
) -> CaseResult {
    ensure(
        observed == expected,
        format!("{what} is {expected:?}"),
        || format!("{what} is {observed:?}"),
    )
}

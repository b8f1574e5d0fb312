//! Why a command did not do what it was asked for, with what a person can do about it.

use std::fmt::Write as _;

use testbed::state::StateError;
use testbed::tools::ToolError;

use crate::exit::Cause;
use crate::printer::Paint;

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Decides the exit code.
    pub(crate) cause: Cause,
    /// What went wrong, with its sources.
    pub(crate) error: anyhow::Error,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Failure {
    fn of(cause: Cause, error: impl Into<anyhow::Error>) -> Self {
        Self {
            cause,
            error: error.into(),
            hint: None,
        }
    }

    /// A mistake of the caller.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::of(Cause::Usage, error)
    }

    /// A mistake of the caller, in words.
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        Self::usage(anyhow::Error::msg(text.into()))
    }

    /// Something of the testbed did not work.
    pub(crate) fn testbed(error: impl Into<anyhow::Error>) -> Self {
        Self::of(Cause::Testbed, error)
    }

    /// The subject that is measured did not do its work.
    pub(crate) fn subject(error: impl Into<anyhow::Error>) -> Self {
        Self::of(Cause::SubjectFailed, error)
    }

    /// Something of ours did not work.
    pub(crate) fn defect(error: impl Into<anyhow::Error>) -> Self {
        Self::of(Cause::Defect, error)
    }

    /// No case was left to run.
    pub(crate) fn nothing_ran(text: String) -> Self {
        Self::of(Cause::NothingRan, anyhow::Error::msg(text))
    }

    /// A signal came.
    pub(crate) fn interrupted() -> Self {
        Self::of(Cause::Interrupted, anyhow::Error::msg("interrupted"))
    }

    /// The same failure, with advice.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// What a person reads: the error, each of its sources on a line of its own, the hint.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut said = self.error.to_string();
        let mut text = format!("{} {said}\n", paint.bad("error:"));
        for source in self.error.chain().skip(1).map(ToString::to_string) {
            // Some libraries put the source into the text that it is the source of.
            if !said.contains(&source) {
                let _ = writeln!(text, "  caused by: {source}");
            }
            said = source;
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{} {hint}", paint.strong("hint:"));
        }
        text
    }
}

/// An error whose text fits after "failed to", and its sources.
pub(crate) fn failed_to(error: &dyn std::error::Error) -> anyhow::Error {
    let sources = std::iter::successors(error.source(), |error| error.source());
    let mut texts: Vec<String> = sources.map(ToString::to_string).collect();
    texts.insert(0, format!("failed to {error}"));
    from_texts(texts)
}

/// An error of which only the texts are left, the outermost first.
pub(crate) fn from_texts(texts: Vec<String>) -> anyhow::Error {
    let mut texts = texts.into_iter().rev();
    let innermost = anyhow::Error::msg(texts.next().unwrap_or_default());
    texts.fold(innermost, anyhow::Error::context)
}

/// A path or variable of no use is the caller's mistake; the rest is the testbed's.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
pub(crate) fn tool_failure(error: ToolError) -> Failure {
    let given = match error {
        ToolError::Given { .. } | ToolError::NoCache | ToolError::Variable { .. } => true,
        ToolError::Platform { .. }
        | ToolError::WrongChecksum { .. }
        | ToolError::Unavailable { .. }
        | ToolError::Client(_)
        | ToolError::Cache { .. } => false,
    };
    let error = failed_to(&error);
    if given {
        Failure::usage(error)
    } else {
        Failure::testbed(error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match &error {
            StateError::NoHome
            | StateError::BadName(_)
            | StateError::Live { .. }
            | StateError::Dead { .. }
            | StateError::Unknown { .. }
            | StateError::Starting { .. } => Self::usage(error),
            StateError::NoProc | StateError::Io(_) | StateError::Format { .. } => {
                Self::testbed(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_source_that_was_said_already_is_not_repeated() {
        let error = anyhow::anyhow!("no route").context("connect: no route");
        let text = Failure::testbed(error).render(Paint::PLAIN);
        assert_eq!(text, "error: connect: no route\n");
    }

    #[test]
    fn a_failure_shows_its_sources_and_sets_the_hint_apart() {
        let source = std::io::Error::other("disk is full");
        let error = Err::<(), _>(source)
            .context("cannot write the report")
            .unwrap_err();
        let failure = Failure::defect(error).hint("free some space");
        assert_eq!(
            failure.render(Paint::PLAIN),
            "error: cannot write the report\n  caused by: disk is full\nhint: free some space\n"
        );
    }
}

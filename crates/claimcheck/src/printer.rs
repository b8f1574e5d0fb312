//! The one place that writes for people: data to standard output, the rest to standard error.

use std::io::{self, ErrorKind, IsTerminal as _, Write};

use crate::failure::Failure;

/// Colours, or none. A colour is never the only carrier of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// No colours.
    pub const PLAIN: Self = Self { on: false };
    /// Colours, whatever the output is.
    pub const COLOURED: Self = Self { on: true };

    /// Colours for a stream when it is a terminal and `NO_COLOR` is not set (no-color.org).
    fn for_stream(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            on: terminal && !refused && !dumb,
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Something that went well.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Something that went wrong.
    pub fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Something to look at.
    pub fn doubtful(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }
}

/// Writes for people.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    /// Colours of standard output.
    pub(crate) out: Paint,
    /// Colours of standard error.
    pub(crate) err: Paint,
    /// Whether standard error is a terminal that a bar can be drawn on.
    pub(crate) live: bool,
}

impl Printer {
    /// The printer of this process; `quiet_bars` says that logs would run across a bar.
    pub(crate) fn new(logs_wanted: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self {
            out: Paint::for_stream(io::stdout().is_terminal()),
            err: Paint::for_stream(terminal),
            live: terminal && !logs_wanted,
        }
    }

    /// Data, to standard output. A reader that has gone away has seen enough.
    ///
    /// # Errors
    /// Anything but a closed pipe.
    #[expect(clippy::unused_self, reason = "only who was given a printer prints")]
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::defect(
                anyhow::Error::from(error).context("cannot write to stdout"),
            )),
            _ => Ok(()),
        }
    }

    /// A line of news, to standard error.
    #[expect(clippy::unused_self, reason = "only who was given a printer prints")]
    pub(crate) fn note(&self, text: &str) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// A failure, to standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        let _ = io::stderr().write_all(failure.render(self.err).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_off_leaves_the_text_as_it_is() {
        assert_eq!(Paint::PLAIN.bad("failed"), "failed");
        assert_eq!(Paint::COLOURED.bad("failed"), "\x1b[1;31mfailed\x1b[0m");
    }
}

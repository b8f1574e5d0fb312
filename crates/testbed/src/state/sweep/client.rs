//! Calls of `docker` that block, each bounded in time.

use std::io::{self, ErrorKind, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use crate::docker::says_missing;

/// How often the end of a call is looked for.
const POLL: Duration = Duration::from_millis(5);

/// Docker's command.
#[derive(Debug)]
pub(super) struct Client {
    /// The program: a path, or a name to look up in `PATH`.
    pub(super) program: Utf8PathBuf,
    /// How long one call may take.
    pub(super) limit: Duration,
}

impl Client {
    /// The lines that a call writes, without empty ones.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(super) fn list(&self, args: &[&str]) -> io::Result<Vec<String>> {
        let text = self.call(args)?;
        Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// Runs `docker ARGS` and gives what it wrote.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when Docker does not know an object, or is removing it already;
    /// [`ErrorKind::TimedOut`]; [`ErrorKind::Unsupported`] when there is no such program; and
    /// [`ErrorKind::Other`] with Docker's words.
    pub(super) fn call(&self, args: &[&str]) -> io::Result<String> {
        let shown = format!("`docker {}`", args.join(" "));
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                io::Error::new(
                    ErrorKind::Unsupported,
                    format!("{shown} cannot be run: {error}"),
                )
            })?;
        let (mut stdout, mut stderr) = (
            child.stdout.take().expect("standard output is a pipe"),
            child.stderr.take().expect("standard error is a pipe"),
        );
        // Each pipe has a reader of its own, so that neither fills up while the end is waited for.
        let said = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let written = thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        let until = Instant::now() + self.limit;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                let limit = self.limit.as_secs();
                let text = format!("{shown} did not end within {limit} s");
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            thread::sleep(POLL);
        };
        let (said, written) = (
            said.join().unwrap_or_default(),
            written.join().unwrap_or_default(),
        );
        if status.success() {
            return Ok(written);
        }
        let said = said.trim();
        // Of a removal: somebody else is at it.
        let going = said.to_lowercase().contains("already in progress");
        let kind = if going || says_missing(said) {
            ErrorKind::NotFound
        } else {
            ErrorKind::Other
        };
        Err(io::Error::new(
            kind,
            format!("{shown} failed ({status}): {said}"),
        ))
    }
}

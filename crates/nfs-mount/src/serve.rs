//! The process in the background that serves one mount.

mod alone;
mod cgroup;
mod log;
mod mountinfo;
mod session;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::error::MountError;

pub(crate) use log::open as open_log;

/// What is said when the mount answers.
pub(crate) const READY: &str = "ready";

/// The place to mount on: absolute, without links.
pub(crate) fn target(given: &Path) -> Result<PathBuf, MountError> {
    let wrong = |source| MountError::Target {
        path: given.display().to_string(),
        source,
    };
    let target = given.canonicalize().map_err(wrong)?;
    if !target.is_dir() {
        return Err(wrong(std::io::ErrorKind::NotADirectory.into()));
    }
    Ok(target)
}

/// Serves a mount until it is unmounted. The first argument is the log's path or `-`, the others
/// are those of the mount helper. What happens before the mount answers is told on stdout, which
/// the front reads to its end.
pub(crate) fn serve(arguments: &[OsString]) -> ExitCode {
    let (log, arguments) = match arguments.split_first() {
        Some((log, rest)) if log != "-" => (Some(PathBuf::from(log)), rest),
        Some((_, rest)) => (None, rest),
        None => (None, arguments),
    };
    let marks = log::start();
    let result = Arguments::parse(arguments.iter().cloned())
        .and_then(|asked| Ok((target(&asked.target)?, asked)))
        .and_then(|(target, asked)| {
            alone::become_alone()?;
            session::Session::start(&asked, &target)
        });
    let session = match result {
        Ok(session) => session,
        Err(error) => {
            tracing::error!(error = error.text(), "not mounted");
            let _ = writeln!(std::io::stdout(), "{}", error.text());
            log::close(log.as_deref(), true);
            return ExitCode::from(error.exit_code());
        }
    };
    let told = writeln!(std::io::stdout(), "{READY}").and_then(|()| alone::close_stdout());
    if let Err(error) = told {
        tracing::warn!(%error, "nobody waited for the mount");
    }
    session.wait();
    log::close(log.as_deref(), !marks.anything_noted());
    ExitCode::SUCCESS
}

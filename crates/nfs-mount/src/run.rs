//! The front: what mount(8) calls, and what waits until the mount answers.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};

use crate::arguments::Arguments;
use crate::error::MountError;
use crate::serve;

/// First argument of the process that serves a mount. Not for people.
const SERVE: &str = "--serve";

/// How this program is called again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// What precedes the arguments of the mount helper when the same executable is started again,
    /// such as the name of a subcommand.
    pub leading_arguments: Vec<OsString>,
}

/// Does what `mount.nfs ARGUMENTS` does: mounts, and returns when the mount answers. `arguments`
/// are those after the program's name and [`Program::leading_arguments`].
///
/// The mount is served by a second process, which is this executable once more. It has nothing of
/// the caller's: no pipe, no session, no control group.
///
/// The exit code is that of mount(8): 0, 1 for a wrong call, 2 for what the system lacks, 32 for a
/// mount that failed; the reason is one line on stderr.
pub fn run(program: &Program, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    if arguments.first().is_some_and(|first| first == SERVE) {
        return serve::serve(&arguments[1..]);
    }
    match mount(program, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where kubelets and people look; nothing is to be done when it is closed.
            let _ = writeln!(std::io::stderr(), "mount.nfs: {}", error.text());
            ExitCode::from(error.exit_code())
        }
    }
}

fn mount(program: &Program, arguments: Vec<OsString>) -> Result<(), MountError> {
    let asked = Arguments::parse(arguments.iter().cloned())?;
    let target = serve::target(&asked.target)?;
    if asked.fake {
        return Ok(());
    }
    let log = if asked.verbose {
        None
    } else {
        serve::open_log(&target)
    };
    let (path, stderr) = match log {
        Some((path, file)) => (path.into_os_string(), Stdio::from(file)),
        None if asked.verbose => ("-".into(), Stdio::inherit()),
        // Nowhere to write to: the mount is worth more than its log.
        None => ("-".into(), Stdio::null()),
    };
    let system = |what: &str, source| MountError::System {
        what: what.to_owned(),
        source,
    };
    let mut server = Command::new("/proc/self/exe")
        .args(&program.leading_arguments)
        .arg(SERVE)
        .arg(&path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| system("start the process that serves the mount", error))?;
    let mut told = String::new();
    if let Some(mut pipe) = server.stdout.take() {
        pipe.read_to_string(&mut told)
            .map_err(|error| system("hear from the process that serves the mount", error))?;
    }
    if told.trim() == serve::READY {
        return Ok(());
    }
    // It has ended, or is about to.
    let status = server
        .wait()
        .map_err(|error| system("wait for the process that serves the mount", error))?;
    let reason = match told.trim() {
        "" => format!(
            "the process that serves the mount ended ({status}); see {}",
            path.to_string_lossy()
        ),
        reason => reason.to_owned(),
    };
    Err(match status.code() {
        Some(1) => MountError::Usage(reason),
        Some(2) => MountError::System {
            what: reason,
            source: std::io::ErrorKind::Other.into(),
        },
        _ => MountError::Told(reason),
    })
}

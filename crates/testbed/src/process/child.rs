//! One child process: its start, its end, and its log.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::group::{Group, Spared, raw};
use super::{guard, log};
use crate::state::{ChildRecord, Owner};

/// Variables of the environment that a child with a cleared environment keeps.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// The running executable, also after its file was replaced by a newer build (proc(5)).
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// A directory shown at another path, to one child alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The directory, an absolute path.
    pub from: Utf8PathBuf,
    /// Where the child finds it: an existing directory, an absolute path.
    pub to: Utf8PathBuf,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What people call it: `etcd`.
    pub name: String,
    /// The program: a path, or a name to look up in `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside `PATH`, `HOME`, `LANG` and `TMPDIR`, which it keeps.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub dir: Utf8PathBuf,
    /// The file that standard output and standard error are appended to.
    pub log: Utf8PathBuf,
    /// Paths bound for it in a mount namespace of its own.
    pub bind: Vec<Bind>,
    /// The executable whose `main` calls [`super::guard_if_asked`]; `None` for the running one.
    pub guard: Option<Utf8PathBuf>,
}

/// Why a child could not be started.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// Its log cannot be written.
    #[error("process `{name}` was not started: its log cannot be opened")]
    Log {
        /// The child's name.
        name: String,
        /// What the file system said.
        source: io::Error,
    },
    /// It cannot be executed.
    #[error("process `{name}` was not started: cannot execute the guard")]
    Start {
        /// The child's name.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It vanished at once.
    #[error("process `{name}` ended before it could be recorded; its log is {log}")]
    Vanished {
        /// The child's name.
        name: String,
        /// Its log.
        log: Utf8PathBuf,
    },
}

/// A running child process. Dropping it kills its group.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: Utf8PathBuf,
    record: ChildRecord,
    group: Arc<Group>,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Starts a child in a process group of its own. When the future is dropped, at whatever moment,
    /// then the child was killed or will never be started.
    ///
    /// A command that cannot be executed is found by its end, with the reason in its log: it is the
    /// guard that executes it.
    ///
    /// # Errors
    /// The log cannot be opened or the guard cannot be started.
    pub async fn spawn(spec: Spec) -> Result<Self, ProcessError> {
        Self::start(spec, None).await
    }

    /// As [`Child::spawn`], for a child that starts processes which must come to their own end: those
    /// of its group that `spared` is true for are sent no signals, whatever becomes of the child.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    #[cfg(feature = "kind")]
    pub(crate) async fn spawn_sparing(spec: Spec, spared: Spared) -> Result<Self, ProcessError> {
        Self::start(spec, Some(spared)).await
    }

    async fn start(spec: Spec, spared: Option<Spared>) -> Result<Self, ProcessError> {
        let (name, log) = (spec.name.clone(), spec.log.clone());
        let wanted = Wanted::default();
        let (started, start) = oneshot::channel();
        // One thread for each child, for as long as it lives: the kernel sends the death signal
        // when the *thread* that started the child ends (prctl(2)), and a runtime's threads come
        // and go.
        thread::Builder::new()
            .name(format!("child {name}"))
            .spawn({
                let wanted = Arc::clone(&wanted.0);
                move || watch_over(&spec, spared, &wanted, started)
            })
            .map_err(|source| ProcessError::Start {
                name: name.clone(),
                source,
            })?;
        match start.await {
            Ok(result) => result,
            // The thread ended without an answer, which only a panic in it can do.
            Err(_) => Err(ProcessError::Vanished { name, log }),
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is its group's id too.
    pub fn pid(&self) -> u32 {
        self.record.pid
    }

    /// What tells it apart from a later process with its pid.
    pub fn record(&self) -> &ChildRecord {
        &self.record
    }

    /// Its log file.
    pub fn log(&self) -> &Utf8Path {
        &self.log
    }

    /// The last `lines` lines of its log.
    pub fn tail(&self, lines: usize) -> String {
        log::tail(&self.log, lines)
    }

    /// How it ended; `None` while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    /// Ends when the process has ended, with its status. Any number of tasks may wait.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            match status.wait_for(Option::is_some).await.map(|status| *status) {
                Ok(Some(status)) => status,
                // The watching thread cannot end without a status; should it, then the child is
                // still there, and saying that it ended would be wrong.
                _ => std::future::pending().await,
            }
        }
    }

    /// Sends `signal` to the group. Nothing happens after the process has ended.
    pub fn signal(&self, signal: Signal) {
        self.group.signal(signal);
    }

    /// Ends the group: SIGTERM, then SIGKILL when the process has not ended within `grace`.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        if !grace.is_zero() {
            self.signal(Signal::SIGTERM);
            if let Ok(status) = timeout(grace, self.exited()).await {
                return status;
            }
        }
        self.signal(Signal::SIGKILL);
        self.exited().await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Whether somebody still waits for a child to be started. Dropping it waits for a start that is under
/// way, and prevents one that is not: whoever looks for processes afterwards misses none.
struct Wanted(Arc<Mutex<bool>>);

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Starts the child, waits for its end and reaps it.
fn watch_over(
    spec: &Spec,
    spared: Option<Spared>,
    wanted: &Mutex<bool>,
    started: oneshot::Sender<Result<Child, ProcessError>>,
) {
    let starting = wanted.lock().unwrap_or_else(PoisonError::into_inner);
    if !*starting {
        return;
    }
    let mut process = match start(spec) {
        Ok(process) => process,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let pid = process.id();
    let group = Arc::new(Group::new(pid, spared));
    let (ended, status) = watch::channel(None);
    let child = Child {
        name: spec.name.clone(),
        log: spec.log.clone(),
        record: ChildRecord {
            name: spec.name.clone(),
            pid,
            // An exited child is a zombie until it is reaped below, so only a system without /proc
            // has no record; then a start time of 0 is recorded, which no later process matches.
            start_time: Owner::of(pid).map_or(0, |owner| owner.start_time),
        },
        group: Arc::clone(&group),
        status,
    };
    // The child itself, not news of it: who asked for it may have gone away, before this or before
    // the answer is taken, and what nobody takes is dropped, which kills it.
    drop(started.send(Ok(child)));
    drop(starting);
    // Leaves the child a zombie, so that its pid and its group's id stay its own ...
    let until_exit = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(raw(pid)), until_exit) == Err(Errno::EINTR) {}
    // ... while what it left of its group is killed.
    group.signal(Signal::SIGKILL);
    let result = group.reap(&mut process);
    // Waiting for an own child that has exited does not fail.
    ended.send_replace(Some(result.unwrap_or_default()));
}

/// Starts the guard of a child.
fn start(spec: &Spec) -> Result<std::process::Child, ProcessError> {
    let log_error = |source| ProcessError::Log {
        name: spec.name.clone(),
        source,
    };
    let out = log::open(&spec.log).map_err(log_error)?;
    let err = out.try_clone().map_err(log_error)?;
    let program = spec
        .guard
        .as_ref()
        .map_or(THIS_EXECUTABLE, |path| path.as_str());
    let mut command = Command::new(program);
    command
        .args(guard::arguments(
            std::process::id(),
            &spec.bind,
            &spec.command,
            &spec.args,
        ))
        .env_clear()
        .envs(
            KEPT.iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(&spec.env)
        .current_dir(&spec.dir)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().map_err(|source| ProcessError::Start {
        name: spec.name.clone(),
        source,
    })
}

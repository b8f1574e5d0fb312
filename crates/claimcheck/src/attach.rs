//! Finding a testbed that `up` left running, and noticing when it breaks.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use testbed::artifacts::Home;
use testbed::kind::ClusterKind;
use testbed::state::{State, StateError};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::options::{ChosenSubject, DEFAULT_NAME};

/// File in a testbed's directory that says others may attach: a `run` does not write it, for it
/// takes its testbed down when its own cases are done.
const SHARED: &str = "shared";
/// How often the processes of another's testbed are looked at: the kernel tells only their parent.
const POLL: Duration = Duration::from_millis(250);

/// Where a run takes place.
#[derive(Debug)]
pub(crate) enum Place {
    /// On a testbed that is up.
    Attached(Box<State>),
    /// On one of its own, of this name.
    Own(String),
}

/// Lets others attach to the testbed of this process.
///
/// # Errors
/// Its directory cannot be written.
pub(crate) fn share(state: &State) -> Result<(), Failure> {
    fs_err::write(state.directory.join(SHARED), "").map_err(Failure::testbed)
}

/// Where a run with this subject takes place: on the testbed of the given name, or of the default
/// one, when it is up; else on one of its own.
///
/// # Errors
/// The testbed is still starting, belongs to another run, is of another kind, or has another subject.
pub(crate) fn place(
    home: &Home,
    name: Option<&str>,
    subject: &ChosenSubject,
    kind: ClusterKind,
) -> Result<Place, Failure> {
    let own = || match name {
        Some(name) => name.to_owned(),
        // Runs side by side do not collide.
        None => format!("run-{}", std::process::id()),
    };
    match home.load(name.unwrap_or(DEFAULT_NAME)) {
        Ok(state) if state.directory.join(SHARED).exists() => {
            check_kind(&state, kind)?;
            check_subject(&state, subject)?;
            Ok(Place::Attached(Box::new(state)))
        }
        Ok(state) if name.is_some() => Err(StateError::Live {
            name: state.name,
            pid: state.owner.pid,
        }
        .into()),
        Ok(_) | Err(StateError::Unknown { .. }) => Ok(Place::Own(own())),
        Err(error) => Err(error.into()),
    }
}

/// What was asked for decides which cases run; another kind of cluster has others.
fn check_kind(state: &State, kind: ClusterKind) -> Result<(), Failure> {
    let (name, up) = (&state.name, &state.cluster.kind);
    if *up == kind.to_string() {
        return Ok(());
    }
    Err(Failure::wrong(format!(
        "testbed `{name}` is a cluster of kind `{up}`, not `{kind}`"
    ))
    .hint(format!(
        "use it with `--cluster {up}`, or give this run another `--name`"
    )))
}

/// A verdict on another subject than the one asked for would be a lie.
fn check_subject(state: &State, subject: &ChosenSubject) -> Result<(), Failure> {
    let State {
        name,
        subject: running,
        ..
    } = state;
    if running.sha256 == subject.file.sha256() {
        return Ok(());
    }
    let text = if running.name == subject.file.name {
        format!(
            "testbed `{name}` runs another version of subject `{}`: its file differs from `{}`",
            running.name, subject.given
        )
    } else {
        format!(
            "testbed `{name}` runs subject `{}`, not `{}`",
            running.name, subject.file.name
        )
    };
    Err(Failure::wrong(text).hint(format!(
        "take it down with `claimcheck down --name {name}`, or give this run another `--name`"
    )))
}

/// Says in `broken` when a process of the attached testbed ends; tells of a subject that ends,
/// which is the subject's failure and breaks nothing.
pub(crate) async fn watch_over(
    state: &State,
    broken: &watch::Sender<Option<String>>,
    told: &(dyn Fn(&str) + Sync),
) -> Infallible {
    let mut ticks = tokio::time::interval(POLL);
    let mut subject = state
        .children
        .iter()
        .find(|child| Some(child.pid) == state.subject.pid);
    loop {
        ticks.tick().await;
        if subject.take_if(|subject| !subject.is_alive()).is_some() {
            told(&format!(
                "subject `{}` ended by itself; logs are in {}",
                state.subject.name, state.logs
            ));
        }
        if let Some(cause) = broken_by(state) {
            told(&cause);
            broken.send_replace(Some(cause));
            return pending().await;
        }
    }
}

/// What of the testbed ended. The subject's end is its own failure and breaks nothing.
fn broken_by(state: &State) -> Option<String> {
    if !state.owner.is_alive() {
        return Some(format!(
            "the supervisor of testbed `{}` (process {}) ended; logs are in {}",
            state.name, state.owner.pid, state.logs
        ));
    }
    state
        .children
        .iter()
        .filter(|child| Some(child.pid) != state.subject.pid)
        .find(|child| !child.is_alive())
        .map(|child| {
            format!(
                "process `{}` of testbed `{}` ended; logs are in {}",
                child.name, state.name, state.logs
            )
        })
}

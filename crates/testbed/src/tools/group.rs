//! The process group of a build: killed with its owner, or by the next run if the owner was killed.

use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a killed group may take to go away before its directory is removed all the same.
const DYING_LIMIT: Duration = Duration::from_secs(5);
const DYING_POLL: Duration = Duration::from_millis(20);

/// Kills a process group when dropped, unless its leader has ended by itself.
///
/// Killing the leader alone would leave the compilers that `go` started.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group led by process `id`.
    pub(crate) fn new(id: u32) -> Self {
        Self(i32::try_from(id).ok().map(Pid::from_raw))
    }

    /// The leader was waited for: from now on its number may belong to another process.
    pub(crate) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended at this very moment, which is what was wanted.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// What tells a process apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    id: u32,
    /// Ticks between boot and its start.
    started: u64,
    boot: String,
}

impl Identity {
    /// The process as it is now; `None` when there is none, or only its unreaped remains.
    fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (state, started) = state_and_start(&stat)?;
        if matches!(state, 'Z' | 'X') {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            id,
            started,
            boot: boot.trim().to_owned(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            id: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
        })
    }
}

/// Fields 3 and 22 of `/proc/PID/stat` (proc(5)). The command in field 2 may hold spaces and
/// brackets, so fields are counted from the last closing one.
fn state_and_start(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Notes in `file` which process leads the group, for [`kill_recorded`].
pub(crate) fn record(id: u32, file: &Utf8Path) -> std::io::Result<()> {
    match Identity::of(id) {
        Some(Identity { id, started, boot }) => fs::write(file, format!("{id} {started} {boot}\n")),
        // It has ended already: there is nobody to be killed later.
        None => Ok(()),
    }
}

/// Kills the group noted in `file`, if its leader still runs, and waits until the leader is gone.
pub(crate) async fn kill_recorded(file: &Utf8Path) {
    let Some(noted) = fs::read_to_string(file)
        .ok()
        .as_deref()
        .and_then(Identity::parse)
    else {
        return;
    };
    if Identity::of(noted.id).as_ref() != Some(&noted) {
        return;
    }
    tracing::info!(
        process = noted.id,
        "a build of a dead run is still at work, killing it"
    );
    drop(ProcessGroup::new(noted.id));
    let gone = async {
        while Identity::of(noted.id).as_ref() == Some(&noted) {
            tokio::time::sleep(DYING_POLL).await;
        }
    };
    if tokio::time::timeout(DYING_LIMIT, gone).await.is_err() {
        tracing::warn!(process = noted.id, "the build of a dead run does not die");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_behind_a_command_with_brackets() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 99";
        assert_eq!(state_and_start(stat), Some(('S', 4242)));
        assert_eq!(state_and_start("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_an_identity_that_survives_being_written_down() {
        let directory = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(directory.path()).unwrap().join("who");
        record(std::process::id(), &file).unwrap();
        let noted = Identity::parse(&fs::read_to_string(&file).unwrap());
        assert!(noted.is_some());
        assert_eq!(noted, Identity::of(std::process::id()));
    }

    #[tokio::test]
    async fn a_process_that_only_has_the_same_number_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(directory.path()).unwrap().join("who");
        let me = Identity::of(std::process::id()).unwrap();
        fs::write(&file, format!("{} {} {}\n", me.id, me.started + 1, me.boot)).unwrap();
        // Were it mistaken for the noted one, this very test would be killed.
        kill_recorded(&file).await;
    }
}

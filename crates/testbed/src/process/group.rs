//! The process group of a child: signalled as long as its id belongs to it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::state::arguments;

/// Says by its arguments, its own name first, whether a process is left alone when its group is
/// signalled.
pub(crate) type Spared = fn(&[String]) -> bool;

/// The group that a child leads.
#[derive(Debug)]
pub(super) struct Group {
    leader: u32,
    spared: Option<Spared>,
    /// True once the leader was reaped: from then on the group's id may belong to another one.
    reaped: Mutex<bool>,
}

impl Group {
    pub(super) fn new(leader: u32, spared: Option<Spared>) -> Self {
        Self {
            leader,
            spared,
            reaped: Mutex::new(false),
        }
    }

    /// Sends `signal` to the group, but for those that are spared, who are never its leader. Nothing
    /// happens after the leader was reaped.
    pub(super) fn signal(&self, signal: Signal) {
        let reaped = self.lock();
        if *reaped {
            return;
        }
        // A signal can only fail when nothing is left to be signalled.
        let Some(spared) = self.spared else {
            let _ = killpg(raw(self.leader), signal);
            return;
        };
        // The leader first: one that is killed starts no other.
        let _ = kill(raw(self.leader), signal);
        for member in members(self.leader) {
            if member != self.leader && !spared(&arguments(member)) {
                let _ = kill(raw(member), signal);
            }
        }
    }

    /// Reaps the leader, which has exited.
    pub(super) fn reap(&self, leader: &mut Child) -> io::Result<ExitStatus> {
        let mut reaped = self.lock();
        let status = leader.wait();
        *reaped = true;
        status
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The processes of a group, zombies among them.
fn members(group: u32) -> Vec<u32> {
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            fs_err::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| group_of(&stat) == Some(group))
        })
        .collect()
}

/// Field 5 of `/proc/PID/stat` (proc(5)).
fn group_of(stat: &str) -> Option<u32> {
    // The name stands in parentheses and may hold spaces and parentheses itself; state and parent
    // follow.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// A pid for a system call. The kernel's largest is 2^22.
pub(super) fn raw(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Command;

    use super::*;

    /// A process that only waits, in `group` or in one of its own; killed when it is dropped.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(seconds: &str, group: u32) -> Self {
            let mut command = Command::new("sleep");
            command.arg(seconds).process_group(raw(group).as_raw());
            let child = Self(command.spawn().unwrap());
            // The kernel lets the parent go on a moment before the new arguments are in place.
            while !arguments(child.0.id()).iter().any(|own| own == seconds) {
                std::thread::yield_now();
            }
            child
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_group_is_killed_but_for_those_that_are_spared() {
        let mut leader = Sleeper::start("600", 0);
        let id = leader.0.id();
        let (mut spared, mut other) = (Sleeper::start("601", id), Sleeper::start("602", id));
        // The leader is killed all the same.
        let group = Group::new(
            id,
            Some(|own: &[String]| own.iter().any(|one| one == "600" || one == "601")),
        );
        group.signal(Signal::SIGKILL);
        assert_eq!(group.reap(&mut leader.0).unwrap().signal(), Some(9));
        assert_eq!(other.0.wait().unwrap().signal(), Some(9));
        assert_eq!(spared.0.try_wait().unwrap(), None);
    }

    #[test]
    fn a_group_is_not_signalled_once_its_leader_was_reaped() {
        let mut leader = Sleeper::start("600", 0);
        let id = leader.0.id();
        let mut other = Sleeper::start("601", id);
        leader.0.kill().unwrap();
        let group = Group::new(id, None);
        group.reap(&mut leader.0).unwrap();
        group.signal(Signal::SIGKILL);
        assert_eq!(other.0.try_wait().unwrap(), None);
    }

    #[test]
    fn the_group_of_a_process_is_read_past_any_name() {
        assert_eq!(
            group_of("42 (a) b (c) S 1 41 40 0 -1 4194560 1 0"),
            Some(41)
        );
        assert_eq!(group_of("42 (x) S 1"), None);
    }
}

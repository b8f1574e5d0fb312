//! Ending and removing testbeds from outside: those whose owner is dead, and one by name.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{ChildRecord, Owner, State, StateError};
use crate::artifacts::Home;

mod client;
pub(super) mod containers;
mod environment;
pub(super) mod makers;

/// Environment variable that every process of a testbed carries: the testbed's directory. It finds
/// processes that no record names, such as children of the subject.
pub const MARK: &str = "CLAIMCHECK_TESTBED";

/// How long killed processes may take to vanish.
const DEATH_LIMIT: Duration = Duration::from_secs(5);
/// How often a process of another parent is looked at; the kernel tells only its parent of its end.
const POLL: Duration = Duration::from_millis(20);

/// What was removed of one testbed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// The testbed's name.
    pub name: String,
    /// Names and pids of processes that were still there and were killed.
    pub processes: Vec<(String, u32)>,
    /// Mount points that were released.
    pub mounts: Vec<Utf8PathBuf>,
    /// Names of containers that were removed.
    pub containers: Vec<String>,
    /// Names of Docker's networks that were removed.
    pub networks: Vec<String>,
    /// Where its logs remain, when its state said so.
    pub logs: Option<Utf8PathBuf>,
}

/// Removes every testbed below `home` whose owner is dead, with its processes, containers, mounts and
/// directory.
///
/// # Errors
/// A directory cannot be read or removed, a process does not die, or Docker does not remove a
/// container.
pub fn sweep_dead(home: &Home) -> Result<Vec<Swept>, StateError> {
    let _lock = home.lock()?;
    let mut swept = Vec::new();
    for name in home.names()? {
        if home.owner(&name)?.is_none_or(|owner| !owner.is_alive()) {
            swept.push(remove(home, &name)?);
        }
    }
    Ok(swept)
}

/// Ends the testbed `name`, whoever owns it: asks the owner to end (SIGTERM), kills it when it has
/// not done so within `grace`, and removes what is left. `None` when nothing was left: there was no
/// such testbed, or its owner removed all of it.
///
/// This blocks; call it from a thread that may.
///
/// # Errors
/// As [`sweep_dead`], or the owner may not be signalled.
pub fn end(home: &Home, name: &str, grace: Duration) -> Result<Option<Swept>, StateError> {
    if !crate::artifacts::valid_name(name) {
        return Err(StateError::BadName(name.to_owned()));
    }
    if let Some(owner) = home.owner(name)?
        && owner.is_alive()
        && owner.pid != std::process::id()
    {
        signal(owner.pid, Signal::SIGTERM)?;
        if !gone(&[owner], grace) {
            signal(owner.pid, Signal::SIGKILL)?;
            gone(&[owner], DEATH_LIMIT);
        }
    }
    let _lock = home.lock()?;
    if !home.cluster(name).exists() {
        return Ok(None);
    }
    remove(home, name).map(Some)
}

/// Removes one testbed. The caller holds the lock.
fn remove(home: &Home, name: &str) -> Result<Swept, StateError> {
    let directory = home.cluster(name);
    let state: Option<State> = fs_err::read(directory.join("state.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let recorded = state.as_ref().map_or(&[][..], |state| &state.children);
    let processes = kill_processes(&directory, recorded)?;
    // After the processes: one of them may be making containers. The clients of Docker that are left
    // are waited for there.
    let containers::Removed {
        containers,
        networks,
    } = containers::sweep(name, &directory, state.is_some())?;
    let mounts = release_mounts(&directory)?;
    remove_directory(&directory)?;
    Ok(Swept {
        name: name.to_owned(),
        processes,
        mounts,
        containers,
        networks,
        logs: state.map(|state| state.logs),
    })
}

/// Kills the recorded processes that still run, and every process that carries the testbed's mark, but
/// for the clients of Docker that make something, where somebody waits for their end.
fn kill_processes(
    directory: &Utf8Path,
    recorded: &[ChildRecord],
) -> Result<Vec<(String, u32)>, StateError> {
    let mut killed: Vec<(String, u32)> = Vec::new();
    let mut dying = Vec::new();
    for child in recorded.iter().filter(|child| child.is_alive()) {
        // Its group first: the group has the id of the process, which cannot be in use elsewhere
        // while the process lives.
        match killpg(pid(child.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH | Errno::EPERM) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        killed.push((child.name.clone(), child.pid));
        dying.push(Owner {
            pid: child.pid,
            start_time: child.start_time,
        });
    }
    let makers_stay = containers::is_marked(directory);
    let until = Instant::now() + 2 * DEATH_LIMIT;
    // Again until there is none: one that was killed may have started another just before.
    while gone(&dying, DEATH_LIMIT) && Instant::now() < until {
        let mut found = marked(directory);
        found.retain(|(_, owner)| !(makers_stay && makers::is_maker(owner.pid)));
        if found.is_empty() {
            return Ok(killed);
        }
        for (name, owner) in &found {
            signal(owner.pid, Signal::SIGKILL)?;
            killed.push((name.clone(), owner.pid));
        }
        dying = found.into_iter().map(|(_, owner)| owner).collect();
    }
    let names: Vec<_> = killed
        .iter()
        .map(|(name, pid)| format!("{name} ({pid})"))
        .collect();
    let text = format!("processes did not end after SIGKILL: {}", names.join(", "));
    Err(std::io::Error::new(ErrorKind::TimedOut, text).into())
}

/// The processes whose environment carries the mark of the testbed in `directory`, except this one.
/// A process whose environment cannot be read, or not in time, is none.
pub fn marked(directory: &Utf8Path) -> Vec<(String, Owner)> {
    let wanted = format!("{MARK}={directory}");
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| *pid != std::process::id())
        .collect();
    environment::environments(pids)
        .into_iter()
        .filter_map(|(pid, environment)| {
            environment
                .split(|byte| *byte == 0)
                .find(|entry| *entry == wanted.as_bytes())?;
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((name.trim().to_owned(), Owner::of(pid)?))
        })
        .collect()
}

/// Waits until none of the processes runs any more. False when one still does after `limit`.
fn gone(processes: &[Owner], limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        if processes.iter().all(|process| !process.is_alive()) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(POLL);
    }
}

fn signal(process: u32, signal: Signal) -> Result<(), StateError> {
    match kill(pid(process), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// A pid for a system call.
fn pid(process: u32) -> Pid {
    // The kernel's largest pid is 2^22, so the cast never wraps.
    Pid::from_raw(i32::try_from(process).unwrap_or(i32::MAX))
}

/// Releases every mount below `directory` that this process sees, the innermost first.
fn release_mounts(directory: &Utf8Path) -> Result<Vec<Utf8PathBuf>, StateError> {
    let table = fs_err::read_to_string("/proc/self/mountinfo")?;
    let mut mounts = mounts_below(&table, directory);
    mounts.reverse();
    for mount in &mounts {
        match umount2(mount.as_std_path(), MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
    }
    Ok(mounts)
}

/// The mount points at or below `directory` in a mountinfo table (proc(5)), in the table's order.
fn mounts_below(table: &str, directory: &Utf8Path) -> Vec<Utf8PathBuf> {
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| {
            let plain = point
                .replace("\\040", " ")
                .replace("\\011", "\t")
                .replace("\\134", "\\");
            Utf8PathBuf::from(plain)
        })
        .filter(|point| point.starts_with(directory))
        .collect()
}

/// Removes a testbed's directory, also where a provisioner left directories without permissions.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_directory(directory: &Utf8Path) -> Result<(), StateError> {
    match fs_err::remove_dir_all(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        Err(error) => return Err(error.into()),
    }
    open_up(directory)?;
    fs_err::remove_dir_all(directory)?;
    Ok(())
}

/// Gives the owner all rights on every directory of a tree, without following links.
fn open_up(directory: &Utf8Path) -> Result<(), StateError> {
    use std::os::unix::fs::PermissionsExt as _;

    fs_err::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(Utf8Path::from_path(directory.path()).unwrap());
        (directory, home)
    }

    /// Makes `name` look like the testbed of a process that is gone.
    fn abandon(home: &Home, name: &str) -> Utf8PathBuf {
        let directory = home.claim(name).unwrap();
        let mut owner = home.owner(name).unwrap().unwrap();
        owner.start_time += 1;
        fs_err::write(directory.join("owner"), serde_json::to_vec(&owner).unwrap()).unwrap();
        directory
    }

    #[test]
    fn a_dead_testbed_is_removed_and_a_live_one_stays() {
        let (_directory, home) = home();
        let live = home.claim("live").unwrap();
        let dead = abandon(&home, "dead");
        fs_err::create_dir(dead.join("closed")).unwrap();
        fs_err::write(dead.join("closed/file"), "x").unwrap();
        fs_err::set_permissions(dead.join("closed"), std::fs::Permissions::from_mode(0o0)).unwrap();
        let swept = sweep_dead(&home).unwrap();
        assert_eq!(swept.len(), 1);
        assert_eq!(swept[0].name, "dead");
        assert!(live.exists());
        assert!(!dead.exists());
    }

    /// A process that only waits; killed when it is dropped.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        /// With `mark` as its testbed.
        fn start(mark: &str) -> Self {
            let mut command = Command::new("sleep");
            let child = command
                .arg("600")
                .env(MARK, mark)
                .process_group(0)
                .spawn()
                .unwrap();
            Self(child)
        }

        fn pid(&self) -> u32 {
            self.0.id()
        }

        fn runs(&mut self) -> bool {
            self.0.try_wait().unwrap().is_none()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_marked_process_without_a_record_is_killed_and_an_unmarked_one_is_not() {
        let (_directory, home) = home();
        let dead = abandon(&home, "dead");
        let mut marked = Sleeper::start(dead.as_str());
        let mut other = Sleeper::start("/elsewhere");
        let swept = sweep_dead(&home).unwrap();
        assert_eq!(swept[0].processes, [("sleep".to_owned(), marked.pid())]);
        assert!(!marked.runs());
        assert!(other.runs());
    }

    #[test]
    fn what_makes_something_in_docker_stays_where_it_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let programs = tempfile::tempdir().unwrap();
        let docker = programs.path().join("docker");
        fs_err::write(&docker, "#!/bin/sh\nread line\n").unwrap();
        fs_err::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
        let start = || {
            let child = Command::new(&docker)
                .args(["network", "create", "x"])
                .env(MARK, directory)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            Sleeper(child)
        };
        let mut client = start();
        // Nobody looks into Docker for this testbed.
        let killed = kill_processes(directory, &[]).unwrap();
        assert!(killed.iter().any(|(_, pid)| *pid == client.pid()));
        assert!(!client.runs());
        containers::mark_docker(directory).unwrap();
        let (mut client, mut other) = (start(), Sleeper::start(directory.as_str()));
        let killed = kill_processes(directory, &[]).unwrap();
        assert!(killed.iter().any(|(_, pid)| *pid == other.pid()));
        assert!(client.runs());
        assert!(!other.runs());
    }

    #[test]
    fn a_recorded_process_is_killed_only_when_its_start_time_is_the_recorded_one() {
        let (_directory, home) = home();
        let dead = abandon(&home, "dead");
        let mut same = Sleeper::start("none");
        let mut reused = Sleeper::start("none");
        let record = |name: &str, pid: u32, shift: u64| ChildRecord {
            name: name.to_owned(),
            pid,
            start_time: Owner::of(pid).unwrap().start_time + shift,
        };
        let mut state = crate::state::tests::example("dead", &dead);
        state.children = vec![
            record("same", same.pid(), 0),
            record("reused", reused.pid(), 1),
        ];
        state.save().unwrap();
        let swept = sweep_dead(&home).unwrap();
        assert_eq!(swept[0].processes, [("same".to_owned(), same.pid())]);
        assert!(!same.runs());
        assert!(reused.runs());
    }

    #[test]
    fn only_mounts_below_the_directory_are_released() {
        let table = "1 2 0:1 / / rw - ext4 x rw\n3 1 0:1 / /s/a rw - tmpfs x rw\n\
                     4 1 0:1 / /s/a/b\\040c rw - tmpfs x rw\n5 1 0:1 / /s/ab rw - tmpfs x rw\n";
        assert_eq!(
            mounts_below(table, Utf8Path::new("/s/a")),
            ["/s/a", "/s/a/b c"]
        );
    }
}

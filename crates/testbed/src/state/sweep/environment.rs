//! Environments of processes, read so that none of them can hold the reader up.
//!
//! The kernel reads `/proc/PID/environ` from the memory of the process. It waits there while the
//! process is in the middle of a page fault, for ever if the page is on a FUSE file system whose
//! server is stuck, and such a process is often just the one that somebody wants to get rid of.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

/// How long one environment may take. A healthy one takes microseconds, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a process that begins a new program is waited for, within [`LIMIT`].
const EXEC_LIMIT: Duration = Duration::from_secs(1);
/// How often it is looked at; it takes a fraction of that where it gets the processor at once.
const POLL: Duration = Duration::from_millis(1);

/// The environments of those of the processes that have one for this user: `NAME=VALUE` entries, each
/// ended by a zero byte (proc(5)).
pub(super) fn environments(pids: Vec<u32>) -> Vec<(u32, Vec<u8>)> {
    read_each(pids, environment, LIMIT)
}

/// The environment of a process. In the middle of execve(2) it has none: the old one is gone, and the
/// new one comes when the new program is mapped. Its parent goes on before that, so whoever starts a
/// process and looks at once sees it like this.
fn environment(pid: u32) -> io::Result<Vec<u8>> {
    let until = Instant::now() + EXEC_LIMIT;
    loop {
        let read = || std::fs::read(format!("/proc/{pid}/environ"));
        let environment = read()?;
        if !environment.is_empty() || Instant::now() >= until {
            return Ok(environment);
        }
        if !is_in_exec(pid) {
            // It may have come out of it between the two looks.
            return read();
        }
        thread::sleep(POLL);
    }
}

/// Whether a process has a program but no place for an environment yet.
fn is_in_exec(pid: u32) -> bool {
    // Neither a zombie nor a thread of the kernel has a program.
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
        && std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| end_of_environment(&stat) == Some(0))
}

/// Field 51 of `/proc/PID/stat` (proc(5)).
fn end_of_environment(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may hold spaces and parentheses itself; field 3 follows.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(48)?.parse().ok()
}

/// Calls `read` for each process, in order, and gives what was read. One that takes longer than
/// `limit` is left to its thread, which ends with this program at the latest, and passed over.
fn read_each(
    pids: Vec<u32>,
    read: impl Fn(u32) -> io::Result<Vec<u8>> + Clone + Send + 'static,
    limit: Duration,
) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = pids;
    while !left.is_empty() {
        let (give, take) = mpsc::channel();
        let (batch, read) = (left.clone(), read.clone());
        thread::spawn(move || {
            for pid in batch {
                // Nobody listens any more when an earlier one was given up.
                if give.send(read(pid)).is_err() {
                    return;
                }
            }
        });
        let mut done = 0;
        while done < left.len() {
            let pid = left[done];
            done += 1;
            match take.recv_timeout(limit) {
                Ok(Ok(environment)) => found.push((pid, environment)),
                // Another user's, or one that just ended.
                Ok(Err(_)) => {}
                Err(RecvTimeoutError::Timeout) => {
                    warn!(
                        pid,
                        limit_s = limit.as_secs(),
                        "the environment of a process cannot be read in time; it is taken for none \
                         of a testbed's"
                    );
                    break;
                }
                // The thread died while it read this one.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        left.drain(..done);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt as _;

    use nix::fcntl::OFlag;
    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn a_process_that_never_answers_is_passed_over_and_the_others_are_read() {
        let directory = tempfile::tempdir().unwrap();
        // To open a FIFO that nobody writes to blocks for ever.
        let stuck = directory.path().join("stuck");
        nix::unistd::mkfifo(&stuck, Mode::S_IRWXU).unwrap();
        let place = stuck.clone();
        let read = move |pid: u32| match pid {
            2 | 4 => std::fs::read(&place),
            3 => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(pid.to_string().into_bytes()),
        };
        let found = read_each((1..=6).collect(), read, LIMIT);
        let pids: Vec<u32> = found.iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids, [1, 5, 6]);
        assert_eq!(found[2].1, b"6");
        // Lets the threads go, which wait for somebody who opens it for writing.
        std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&stuck)
            .unwrap();
    }

    #[test]
    fn a_process_has_its_environment_as_soon_as_it_was_started() {
        for _ in 0..50 {
            let mut child = std::process::Command::new("sleep")
                .arg("600")
                .env("GIVEN", "yes")
                .spawn()
                .unwrap();
            let found = environments(vec![child.id()]);
            child.kill().unwrap();
            child.wait().unwrap();
            let text = String::from_utf8_lossy(&found[0].1).into_owned();
            assert!(text.contains("GIVEN=yes"), "{text:?}");
        }
    }

    #[test]
    fn the_end_of_the_environment_is_that_of_this_process() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert!(end_of_environment(&stat).unwrap() > 0);
        assert!(!is_in_exec(std::process::id()));
        let zeros = "0 ".repeat(49);
        assert_eq!(end_of_environment(&format!("1 (a) b) S {zeros}")), Some(0));
        assert_eq!(end_of_environment("1 (a) S"), None);
    }

    #[test]
    fn this_process_has_an_environment_and_a_pid_that_is_none_has_not() {
        let own = std::process::id();
        // The kernel's largest pid is 2^22.
        let found = environments(vec![own, u32::MAX]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, own);
    }
}

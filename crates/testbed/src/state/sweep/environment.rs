//! Environments of processes, read so that none of them can hold the reader up.
//!
//! The kernel reads `/proc/PID/environ` from the memory of the process. It waits there while the
//! process is in the middle of a page fault, for ever if the page is on a FUSE file system whose
//! server is stuck, and such a process is often just the one that somebody wants to get rid of.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::warn;

/// How long one environment may take. A healthy one takes microseconds, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(2);

/// The environments of those of the processes that have one for this user: `NAME=VALUE` entries, each
/// ended by a zero byte (proc(5)).
pub(super) fn environments(pids: Vec<u32>) -> Vec<(u32, Vec<u8>)> {
    read_each(
        pids,
        |pid| std::fs::read(format!("/proc/{pid}/environ")),
        LIMIT,
    )
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
    fn this_process_has_an_environment_and_a_pid_that_is_none_has_not() {
        let own = std::process::id();
        // The kernel's largest pid is 2^22.
        let found = environments(vec![own, u32::MAX]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, own);
    }
}

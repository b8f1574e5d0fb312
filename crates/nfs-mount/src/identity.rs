//! Who calls: the identity that goes with each call of NFS, and whether the caller still waits.
//!
//! The kernel tells user and group of a caller; its supplementary groups stand in `/proc`. They are
//! read anew for each call that needs them: a container's first process changes its groups while it
//! keeps its number and, for user 0, its user, so whatever is remembered would soon be wrong.
//!
//! Only `/proc/PID/status` is read. `stat` and others wait for an exec(2) of the caller to be over,
//! and that exec may be closing a file of this mount, which waits for the answer from here.

use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;

/// The most supplementary groups of `AUTH_SYS` (RFC 5531, appendix A).
pub(crate) const GROUPS_MAX: usize = 16;

/// An identity for `AUTH_SYS`.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// As it goes over the wire.
    pub(crate) wire: opaque_auth<'static>,
}

impl Credential {
    /// A user with its group and supplementary groups, of which the first 16 count.
    pub(crate) fn new(uid: u32, gid: u32, groups: &[u32]) -> Self {
        let groups: Vec<u32> = groups.iter().copied().take(GROUPS_MAX).collect();
        Self {
            wire: opaque_auth::auth_unix(&auth_unix {
                stamp: 0,
                machinename: Opaque::borrowed(b"nfs-mount"),
                uid,
                gid,
                gids: groups,
            }),
        }
    }

    /// User 0 without supplementary groups: for calls that nobody's rights matter for.
    pub(crate) fn root() -> Self {
        Self::new(0, 0, &[])
    }
}

/// The process behind a request of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// The thread's number as this process sees it; 0 if it is in no namespace seen from here.
    pub(crate) pid: u32,
}

impl Caller {
    /// The identity of the caller, with the groups that it has at this moment.
    pub(crate) fn credential(&self) -> Credential {
        Credential::new(self.uid, self.gid, &self.groups())
    }

    fn status(&self) -> Option<String> {
        fs_err::read_to_string(format!("/proc/{}/status", self.pid)).ok()
    }

    fn groups(&self) -> Vec<u32> {
        if self.pid == 0 {
            return Vec::new();
        }
        self.status()
            .map(|status| groups_of(&status))
            .unwrap_or_default()
    }

    /// Whether the caller must get an answer although the server has none: it has SIGKILL pending,
    /// or is gone. With `silent`, it is enough that it is on its way out for whatever reason, since
    /// it can't be killed any more then.
    pub(crate) fn has_left(&self, silent: bool) -> bool {
        if self.pid == 0 {
            return false;
        }
        match self.status() {
            Some(status) => kill_pending(&status) || (silent && exiting(&status)),
            None => true,
        }
    }
}

/// A field of `/proc/PID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn groups_of(status: &str) -> Vec<u32> {
    field(status, "Groups")
        .unwrap_or("")
        .split_whitespace()
        .filter_map(|group| group.parse().ok())
        .collect()
}

fn kill_pending(status: &str) -> bool {
    // Bit 8 is signal 9.
    const KILL: u64 = 1 << 8;
    ["SigPnd", "ShdPnd"].into_iter().any(|name| {
        field(status, name)
            .and_then(|mask| u64::from_str_radix(mask, 16).ok())
            .is_some_and(|mask| mask & KILL != 0)
    })
}

/// A process that ends gives up its memory before its files. Threads of the kernel never have any.
fn exiting(status: &str) -> bool {
    let number = |name| field(status, name).and_then(|value| value.parse::<u32>().ok());
    let kernel = number("Kthread") == Some(1) || matches!(number("PPid"), Some(0 | 2));
    !kernel && field(status, "VmSize").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsh\nUid:\t1000\t1000\t1000\t1000\nGroups:\t10 20 4294967294 \n\
                          SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n";

    #[test]
    fn groups_are_those_of_the_status() {
        assert_eq!(groups_of(STATUS), [10, 20, 4_294_967_294]);
        assert_eq!(groups_of("Groups:\t\n"), Vec::<u32>::new());
    }

    #[test]
    fn sixteen_groups_go_over_the_wire() {
        let many: Vec<u32> = (0..40).collect();
        let length = |groups: &[u32]| Credential::new(1, 2, groups).wire.body.len();
        assert_eq!(length(&many), length(&many[..16]));
        assert_eq!(length(&many[..16]) - length(&[]), 16 * 4);
    }

    #[test]
    fn a_pending_kill_is_seen_for_the_thread_and_the_process() {
        assert!(!kill_pending(STATUS));
        for name in ["SigPnd", "ShdPnd"] {
            let killed = STATUS.replace(
                &format!("{name}:\t0000000000000000"),
                &format!("{name}:\t0000000000004100"),
            );
            assert!(kill_pending(&killed), "{name}");
        }
        // Signal 15.
        assert!(!kill_pending("SigPnd:\t0000000000004000\n"));
    }

    #[test]
    fn a_process_without_memory_is_on_its_way_out() {
        let gone = "Name:\tsh\nPPid:\t77\nKthread:\t0\n";
        assert!(exiting(gone));
        assert!(!exiting(&format!("{gone}VmSize:\t    100 kB\n")));
        assert!(!exiting("Name:\tloop0\nPPid:\t2\n"));
        assert!(!exiting("Name:\tloop0\nPPid:\t99\nKthread:\t1\n"));
    }

    #[test]
    fn this_very_process_has_not_left() {
        let caller = Caller {
            uid: 0,
            gid: 0,
            pid: std::process::id(),
        };
        assert!(!caller.has_left(true));
        let nobody = Caller { pid: 0, ..caller };
        assert!(!nobody.has_left(true) && nobody.groups().is_empty());
    }
}

//! One object of the export, and what is known about a file that is open.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use nfs3_types::nfs3::{fattr3, nfs_fh3, nfstime3, writeverf3};
use nix::errno::Errno;

use super::nodes::ROOT;
use crate::identity::Credential;

/// How old a change must be for its time to tell it from the next one: servers count time in steps.
const SETTLED: Duration = Duration::from_secs(1);

/// An object of the export.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number for the kernel: the file's number on the server, and 1 for the root.
    pub(crate) id: u64,
    /// How many objects had this number before.
    pub(crate) generation: u64,
    handle: RwLock<nfs_fh3>,
    state: Mutex<State>,
    changed: Condvar,
}

/// What is known about a file.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// How many times it is open.
    pub(crate) open: usize,
    /// The name it was given instead of being removed.
    pub(crate) silly: Option<Vec<u8>>,
    /// What the kernel's cached pages belong to.
    pub(crate) cached: Option<Fingerprint>,
    /// What may be lost when the server is restarted, in the order of writing.
    pub(crate) writes: Vec<Uncommitted>,
    /// The number of connections when the last of them was sent.
    pub(crate) epoch: u64,
    /// Since when there has been something to commit.
    pub(crate) since: Option<Instant>,
    /// Writes that are under way.
    pub(crate) writing: usize,
    /// Whether writes must wait, since lost ones are being written again.
    pub(crate) replaying: bool,
    /// Whether a commit is under way.
    pub(crate) committing: bool,
    /// How many errors happened that no write could tell, and the last of them.
    pub(crate) failures: u64,
    pub(crate) failure: Option<Errno>,
    /// Number for the next write.
    pub(crate) next_write: u64,
}

/// Data that the server took but need not have on stable storage.
#[derive(Debug, Clone)]
pub(crate) struct Uncommitted {
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) data: Arc<[u8]>,
    /// What the server answered with; `None` if it never had the data.
    pub(crate) verifier: Option<writeverf3>,
    pub(crate) who: Arc<Credential>,
}

/// What tells a file's content from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    size: u64,
    modified: nfstime3,
    changed: nfstime3,
    /// Whether the last change was long enough ago when this was taken.
    settled: bool,
}

impl Fingerprint {
    /// The fingerprint of a file whose attributes were told just now.
    pub(crate) fn of(attributes: &fattr3, now: SystemTime) -> Self {
        let changed = SystemTime::from(attributes.ctime).max(attributes.mtime.into());
        Self {
            size: attributes.size,
            modified: attributes.mtime,
            changed: attributes.ctime,
            settled: now
                .duration_since(changed)
                .is_ok_and(|passed| passed >= SETTLED),
        }
    }

    /// Whether pages that were read when the file had this fingerprint belong to `later` as well.
    pub(crate) fn still_holds(&self, later: &Self) -> bool {
        self.settled
            && (self.size, self.modified, self.changed)
                == (later.size, later.modified, later.changed)
    }
}

impl Node {
    /// An object that was just found.
    pub(crate) fn new(id: u64, generation: u64, handle: nfs_fh3) -> Self {
        Self {
            id,
            generation,
            handle: RwLock::new(handle),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Whether this is the root.
    pub(crate) fn is_root(&self) -> bool {
        self.id == ROOT
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> nfs_fh3 {
        self.handle
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gives the root its new handle.
    pub(crate) fn set_handle(&self, handle: &nfs_fh3) {
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = handle.clone();
    }

    /// What is known about the file.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change of the state.
    pub(crate) fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        limit: Duration,
    ) -> MutexGuard<'a, State> {
        self.changed
            .wait_timeout(state, limit)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Wakes those who wait.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use nfs3_types::nfs3::{ftype3, specdata3};

    use super::*;

    fn file(size: u64, seconds: u32) -> fattr3 {
        let time = nfstime3 {
            seconds,
            nseconds: 0,
        };
        fattr3 {
            type_: ftype3::NF3REG,
            mode: 0o644,
            nlink: 1,
            uid: 0,
            gid: 0,
            size,
            used: size,
            rdev: specdata3::default(),
            fsid: 1,
            fileid: 2,
            atime: time,
            mtime: time,
            ctime: time,
        }
    }

    #[test]
    fn pages_are_kept_only_for_an_unchanged_file_that_was_settled() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let taken = Fingerprint::of(&file(5, 100), at(200));
        assert!(taken.still_holds(&Fingerprint::of(&file(5, 100), at(300))));
        assert!(!taken.still_holds(&Fingerprint::of(&file(6, 100), at(300))));
        assert!(!taken.still_holds(&Fingerprint::of(&file(5, 101), at(300))));
        // Another change in the same step of the server's clock would look the same.
        let fresh = Fingerprint::of(&file(5, 100), at(100));
        assert!(!fresh.still_holds(&Fingerprint::of(&file(5, 100), at(300))));
        // The server's clock is ahead.
        let ahead = Fingerprint::of(&file(5, 500), at(100));
        assert!(!ahead.still_holds(&ahead));
    }
}

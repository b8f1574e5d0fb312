//! Files that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use fuser::{FopenFlags, OpenAccMode, OpenFlags};
use nfs3_types::nfs3::{
    ACCESS3_DELETE, ACCESS3_EXECUTE, ACCESS3_EXTEND, ACCESS3_LOOKUP, ACCESS3_MODIFY, ACCESS3_READ,
    fattr3,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::node::{Fingerprint, Node};
use super::{Fs, locked};
use crate::client::Outcome;
use crate::identity::{Caller, Credential};
use crate::rpc::Patience;

/// The kernel's mark of an open for execution, `__FMODE_EXEC`.
const FOR_EXECUTION: i32 = 0x20;

/// A file that is open. What is done through it is done as who opened it, as in every Unix.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) node: Arc<Node>,
    pub(crate) who: Arc<Credential>,
    /// Whether it may be written to.
    pub(crate) writable: bool,
    /// Whether each write is stable before it returns.
    pub(crate) sync: bool,
    /// How many failures of the file were there before, or were told.
    seen: AtomicU64,
}

/// What an open needs, by the flags of open(2).
fn wanted(flags: OpenFlags) -> u32 {
    let read = if flags.0 & FOR_EXECUTION != 0 {
        ACCESS3_EXECUTE
    } else {
        ACCESS3_READ
    };
    match flags.acc_mode() {
        OpenAccMode::O_RDONLY => read,
        OpenAccMode::O_WRONLY => ACCESS3_MODIFY | ACCESS3_EXTEND,
        OpenAccMode::O_RDWR => read | ACCESS3_MODIFY | ACCESS3_EXTEND,
    }
}

/// What access(2) and chdir(2) need.
pub(crate) fn wanted_by_mask(mask: i32, directory: bool) -> u32 {
    let mut wanted = 0;
    if mask & 4 != 0 {
        wanted |= ACCESS3_READ;
    }
    if mask & 2 != 0 {
        wanted |= ACCESS3_MODIFY | ACCESS3_EXTEND;
        if directory {
            wanted |= ACCESS3_DELETE;
        }
    }
    if mask & 1 != 0 {
        wanted |= if directory {
            ACCESS3_LOOKUP
        } else {
            ACCESS3_EXECUTE
        };
    }
    wanted
}

impl OpenFile {
    /// An error that came up since the last time it was asked for (fsync(2), close(2)).
    pub(crate) fn failure(&self) -> Outcome<()> {
        let state = self.node.state();
        if self.seen.swap(state.failures, Ordering::SeqCst) == state.failures {
            Ok(())
        } else {
            Err(state.failure.unwrap_or(Errno::EIO))
        }
    }
}

impl Fs {
    /// Opens a file, if the server lets the caller.
    pub(crate) fn open(
        &self,
        caller: Caller,
        node: &Arc<Node>,
        flags: OpenFlags,
    ) -> Outcome<(u64, FopenFlags)> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let attributes = self.settled(node, &patience, || {
            self.require(&who, node, wanted(flags), &patience)
        })?;
        Ok(self.opened(node, who, flags, &attributes))
    }

    /// Asks whether everything in `wanted` is granted.
    pub(crate) fn require(
        &self,
        who: &Credential,
        node: &Node,
        wanted: u32,
        patience: &Patience,
    ) -> Outcome<fattr3> {
        let (granted, attributes) = self.with_handle(node, |handle| {
            self.client.access(who, handle, wanted, patience)
        })?;
        if granted & wanted != wanted {
            return Err(Errno::EACCES);
        }
        match attributes {
            Some(attributes) => Ok(attributes),
            None => self.with_handle(node, |handle| self.client.attributes(handle, patience)),
        }
    }

    /// Notes that a file is open. The kernel may keep its pages only if they are still right.
    pub(crate) fn opened(
        &self,
        node: &Arc<Node>,
        who: Credential,
        flags: OpenFlags,
        attributes: &fattr3,
    ) -> (u64, FopenFlags) {
        let now = Fingerprint::of(attributes, SystemTime::now());
        let mut state = node.state();
        state.open += 1;
        let keep = state
            .cached
            .replace(now)
            .is_some_and(|before| before.still_holds(&now));
        let seen = AtomicU64::new(state.failures);
        drop(state);
        let stable = OFlag::O_DSYNC.bits() | OFlag::O_SYNC.bits();
        let number = self.next_number();
        locked(&self.files).insert(
            number,
            Arc::new(OpenFile {
                node: Arc::clone(node),
                who: Arc::new(who),
                writable: flags.acc_mode() != OpenAccMode::O_RDONLY,
                sync: self.sync || flags.0 & stable != 0,
                seen,
            }),
        );
        let mut told = FopenFlags::empty();
        told.set(FopenFlags::FOPEN_KEEP_CACHE, keep);
        (number, told)
    }

    /// An open file by the number that the kernel was given.
    pub(crate) fn file(&self, number: u64) -> Outcome<Arc<OpenFile>> {
        locked(&self.files)
            .get(&number)
            .map(Arc::clone)
            .ok_or(Errno::EBADF)
    }

    /// Whether anything is open at all.
    pub(crate) fn has_open_files(&self) -> bool {
        !locked(&self.files).is_empty()
    }

    /// Notes that a file was closed: at once, before later requests are looked at, since what
    /// becomes of a name depends on whether its file is open. The rest is for [`Fs::closed`].
    pub(crate) fn close(&self, number: u64) -> Option<Arc<OpenFile>> {
        let file = locked(&self.files).remove(&number)?;
        file.node.state().open -= 1;
        Some(file)
    }

    /// What is left to do for a closed file.
    pub(crate) fn closed(&self, file: &OpenFile) {
        let last = file.node.state().open == 0;
        // Mapped pages may have been written after the last flush.
        if last && let Err(error) = self.commit(&file.node, &Patience::endless()) {
            tracing::debug!(%error, "commit is left to the keeper");
        }
        if last {
            self.remove_silly(&file.node, &Patience::endless());
        }
    }

    /// close(2): everything is on stable storage, or the error is told.
    pub(crate) fn flush(&self, caller: Caller, file: &OpenFile) -> Outcome<()> {
        if !file.writable {
            return Ok(());
        }
        // A process that ends closes its files and can't be killed while it does. When the server
        // is silent it is let go: the data is kept here, and committed as soon as that works.
        let patience = Patience::of(caller);
        self.commit(&file.node, &patience)?;
        file.failure()
    }

    /// fsync(2).
    pub(crate) fn sync(&self, caller: Caller, file: &OpenFile) -> Outcome<()> {
        self.commit(&file.node, &Patience::of(caller))?;
        file.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_needs_what_it_will_do() {
        for (flags, needed) in [
            (OFlag::O_RDONLY.bits(), ACCESS3_READ),
            (OFlag::O_WRONLY.bits(), ACCESS3_MODIFY | ACCESS3_EXTEND),
            (
                OFlag::O_RDWR.bits() | OFlag::O_APPEND.bits(),
                ACCESS3_READ | ACCESS3_MODIFY | ACCESS3_EXTEND,
            ),
            (FOR_EXECUTION, ACCESS3_EXECUTE),
        ] {
            assert_eq!(wanted(OpenFlags(flags)), needed, "{flags:o}");
        }
    }

    #[test]
    fn access_asks_a_directory_for_other_rights_than_a_file() {
        assert_eq!(wanted_by_mask(0, false), 0);
        assert_eq!(wanted_by_mask(1, true), ACCESS3_LOOKUP);
        assert_eq!(wanted_by_mask(5, false), ACCESS3_READ | ACCESS3_EXECUTE);
        assert_eq!(
            wanted_by_mask(2, true),
            ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_DELETE
        );
    }
}

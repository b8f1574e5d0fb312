//! File handles: which object a client means.
//!
//! Every object that a client has seen has a number that is never used again. An open `O_PATH`
//! descriptor keeps the object, so renames don't matter and its inode number can't be reused. The
//! descriptors are bounded; for objects without one the directory and name where they were last
//! seen are tried, and what is found there counts only if it is the same object by inode and birth.
//! Else the handle is stale: rather no object than a wrong one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nfs3_types::nfs3::{nfs_fh3, nfsstat3};
use nfs3_types::xdr_codec::Opaque;

use super::files;
use super::status::{Outcome, of_io};

/// The number of the export's root.
pub(crate) const ROOT: u64 = 1;

/// How far names are followed upwards; a longer chain is a loop of outdated names.
const DEPTH: usize = 256;

/// What tells two objects apart, also when an inode number is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    /// When the object was made, where the file system keeps that.
    birth: Option<SystemTime>,
}

impl Identity {
    /// The identity by what the file system says.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            birth: metadata.created().ok(),
        }
    }
}

/// The last change of an inode, in seconds and nanoseconds.
fn changed(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    changed: (i64, i64),
    file: Option<Arc<File>>,
    used: u64,
    /// The directory's number and the name in it.
    seen: Option<(u64, Vec<u8>)>,
    exclusive: Option<[u8; 8]>,
}

impl Entry {
    /// Whether what was found under a name is this object. Without a birth, an unchanged inode is
    /// the only proof; such an object goes stale at its next change, which is the safe side.
    fn is(&self, metadata: &Metadata) -> bool {
        self.identity == Identity::of(metadata)
            && (self.identity.birth.is_some() || self.changed == changed(metadata))
    }
}

#[derive(Debug)]
struct State {
    entries: HashMap<u64, Entry>,
    by_inode: HashMap<(u64, u64), u64>,
    open: usize,
    clock: u64,
    next: u64,
}

/// The handles of one export.
#[derive(Debug)]
pub(crate) struct Handles {
    instance: u64,
    root: Arc<File>,
    capacity: usize,
    state: Mutex<State>,
}

impl Handles {
    /// Handles below `root`, an `O_PATH` descriptor. `instance` differs at each start, so that
    /// handles of an earlier one are stale; at most `capacity` descriptors stay open.
    pub(crate) fn new(instance: u64, root: File, capacity: usize) -> std::io::Result<Self> {
        let metadata = root.metadata()?;
        let root = Arc::new(root);
        let entry = Entry {
            identity: Identity::of(&metadata),
            changed: changed(&metadata),
            file: Some(Arc::clone(&root)),
            used: u64::MAX,
            seen: None,
            exclusive: None,
        };
        Ok(Self {
            instance,
            root,
            capacity,
            state: Mutex::new(State {
                by_inode: HashMap::from([((metadata.dev(), metadata.ino()), ROOT)]),
                entries: HashMap::from([(ROOT, entry)]),
                open: 0,
                clock: 0,
                next: ROOT + 1,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle on the wire for an object's number.
    pub(crate) fn encode(&self, number: u64) -> nfs_fh3 {
        let mut data = Vec::with_capacity(16);
        data.extend(self.instance.to_be_bytes());
        data.extend(number.to_be_bytes());
        nfs_fh3 {
            data: Opaque::owned(data),
        }
    }

    /// The number in a handle of the wire.
    pub(crate) fn decode(&self, handle: &nfs_fh3) -> Outcome<u64> {
        let bytes: &[u8; 16] = handle
            .data
            .as_ref()
            .try_into()
            .map_err(|_| nfsstat3::NFS3ERR_BADHANDLE)?;
        let (instance, number) = bytes.split_at(8);
        if instance != self.instance.to_be_bytes() {
            return Err(nfsstat3::NFS3ERR_STALE);
        }
        number
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| nfsstat3::NFS3ERR_BADHANDLE)
    }

    /// Gives an object, just opened, its number. `seen` is the directory's number and the name.
    pub(crate) fn intern(
        &self,
        file: File,
        metadata: &Metadata,
        seen: Option<(u64, &OsStr)>,
    ) -> (u64, Arc<File>) {
        let mut state = self.state();
        let identity = Identity::of(metadata);
        let inode = (metadata.dev(), metadata.ino());
        let seen = seen.map(|(number, name)| (number, name.as_bytes().to_vec()));
        if let Some(&number) = state.by_inode.get(&inode) {
            if number == ROOT {
                return (ROOT, Arc::clone(&self.root));
            }
            if let Some(entry) = state.entries.get_mut(&number) {
                // An open descriptor proves that the inode is still the same object.
                if entry.file.is_some() || entry.is(metadata) {
                    entry.changed = changed(metadata);
                    entry.seen = seen.or(entry.seen.take());
                    return (number, state.touch(number, file, self.capacity));
                }
            }
            state.entries.remove(&number);
        }
        let number = state.next;
        state.next += 1;
        state.by_inode.insert(inode, number);
        state.entries.insert(
            number,
            Entry {
                identity,
                changed: changed(metadata),
                file: None,
                used: 0,
                seen,
                exclusive: None,
            },
        );
        (number, state.touch(number, file, self.capacity))
    }

    /// The object of a number, with its metadata of now.
    pub(crate) fn resolve(&self, number: u64) -> Outcome<(Arc<File>, Metadata)> {
        let mut state = self.state();
        self.resolve_in(&mut state, number, DEPTH)
    }

    fn resolve_in(
        &self,
        state: &mut State,
        number: u64,
        depth: usize,
    ) -> Outcome<(Arc<File>, Metadata)> {
        if number == ROOT {
            let metadata = self.root.metadata().map_err(of_io)?;
            return if metadata.nlink() == 0 {
                Err(nfsstat3::NFS3ERR_STALE)
            } else {
                Ok((Arc::clone(&self.root), metadata))
            };
        }
        let entry = state.entries.get(&number).ok_or(nfsstat3::NFS3ERR_STALE)?;
        if let Some(file) = entry.file.clone() {
            let metadata = file.metadata().map_err(of_io)?;
            if metadata.nlink() == 0 {
                state.drop_entry(number);
                return Err(nfsstat3::NFS3ERR_STALE);
            }
            if self.contains(&file) {
                state.clock += 1;
                let now = state.clock;
                if let Some(entry) = state.entries.get_mut(&number) {
                    entry.used = now;
                    entry.changed = changed(&metadata);
                }
                return Ok((file, metadata));
            }
            return Err(nfsstat3::NFS3ERR_STALE);
        }
        let (parent, name) = entry.seen.clone().ok_or(nfsstat3::NFS3ERR_STALE)?;
        let depth = depth.checked_sub(1).ok_or(nfsstat3::NFS3ERR_STALE)?;
        let (directory, _) = self.resolve_in(state, parent, depth)?;
        let file = files::open_child(&directory, OsStr::from_bytes(&name))
            .map_err(|_| nfsstat3::NFS3ERR_STALE)?;
        let metadata = file.metadata().map_err(of_io)?;
        if !state
            .entries
            .get(&number)
            .is_some_and(|entry| entry.is(&metadata))
        {
            return Err(nfsstat3::NFS3ERR_STALE);
        }
        Ok((state.touch(number, file, self.capacity), metadata))
    }

    /// Whether an object is below the root still; someone may have moved it out of the directory.
    fn contains(&self, file: &File) -> bool {
        let place = |file: &File| std::fs::read_link(files::magic_path(file));
        match (place(&self.root), place(file)) {
            (Ok(root), Ok(path)) => path.starts_with(root),
            _ => false,
        }
    }

    /// Notes where an object is now, after the server itself moved it.
    pub(crate) fn moved(&self, number: u64, parent: u64, name: &OsStr) {
        if let Some(entry) = self.state().entries.get_mut(&number)
            && number != ROOT
        {
            entry.seen = Some((parent, name.as_bytes().to_vec()));
        }
    }

    /// Drops an object whose last name is gone: its handles are stale.
    pub(crate) fn forget(&self, number: u64) {
        self.state().drop_entry(number);
    }

    /// The verifier that an exclusive CREATE made the object with.
    pub(crate) fn exclusive(&self, number: u64) -> Option<[u8; 8]> {
        self.state().entries.get(&number)?.exclusive
    }

    /// Keeps the verifier of an exclusive CREATE.
    pub(crate) fn set_exclusive(&self, number: u64, verifier: [u8; 8]) {
        if let Some(entry) = self.state().entries.get_mut(&number) {
            entry.exclusive = Some(verifier);
        }
    }

    /// The path below the root where an object was last seen; empty when that isn't known.
    pub(crate) fn path_hint(&self, number: u64) -> String {
        let state = self.state();
        let mut parts = Vec::new();
        let mut at = number;
        while at != ROOT {
            let Some((parent, name)) = state.entries.get(&at).and_then(|e| e.seen.as_ref()) else {
                return String::new();
            };
            parts.push(String::from_utf8_lossy(name).into_owned());
            if parts.len() > DEPTH {
                return String::new();
            }
            at = *parent;
        }
        parts.reverse();
        parts.join("/")
    }
}

impl State {
    /// Keeps the descriptor of an object, or the one there is, and closes the longest unused ones
    /// beyond the bound. Those in use elsewhere stay open until their call is done.
    fn touch(&mut self, number: u64, file: File, capacity: usize) -> Arc<File> {
        self.clock += 1;
        let now = self.clock;
        let Some(entry) = self.entries.get_mut(&number) else {
            return Arc::new(file);
        };
        entry.used = now;
        if let Some(present) = &entry.file {
            return Arc::clone(present);
        }
        let file = Arc::new(file);
        entry.file = Some(Arc::clone(&file));
        self.open += 1;
        if self.open > capacity {
            self.close_some(capacity);
        }
        file
    }

    fn close_some(&mut self, capacity: usize) {
        let mut open: Vec<(u64, u64)> = self
            .entries
            .iter()
            .filter(|(number, entry)| **number != ROOT && entry.file.is_some())
            .map(|(number, entry)| (entry.used, *number))
            .collect();
        open.sort_unstable();
        // A quarter at once, so that the sorting is not done for every new object.
        let surplus = open.len() - capacity.min(open.len()) + capacity / 4;
        for (_, number) in open.into_iter().take(surplus) {
            if let Some(entry) = self.entries.get_mut(&number)
                && entry.file.take().is_some()
            {
                self.open -= 1;
            }
        }
    }

    fn drop_entry(&mut self, number: u64) {
        if number == ROOT {
            return;
        }
        if let Some(entry) = self.entries.remove(&number) {
            if entry.file.is_some() {
                self.open -= 1;
            }
            let inode = (entry.identity.device, entry.identity.inode);
            if self.by_inode.get(&inode) == Some(&number) {
                self.by_inode.remove(&inode);
            }
        }
    }
}

/// How many descriptors may stay open: a quarter of this process's limit.
pub(crate) fn capacity() -> usize {
    std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|limits| {
            let line = limits
                .lines()
                .find(|line| line.starts_with("Max open files"))?;
            line.split_whitespace().nth(3)?.parse::<usize>().ok()
        })
        .map_or(256, |limit| (limit / 4).clamp(64, 4096))
}

#[cfg(test)]
mod tests;

//! Reading directories.
//!
//! Cookies of the wire have 64 bits and belong to the server; offsets of the kernel have 63 and must
//! not change while a directory is open. So each open directory keeps its list, and offsets count
//! its entries.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use fuser::FileType;
use nfs3_types::nfs3::{ACCESS3_READ, cookieverf3, nfsstat3};
use nix::errno::Errno;

use super::node::Node;
use super::{Fs, attributes, locked};
use crate::client::{Entry, Fault, Outcome};
use crate::identity::{Caller, Credential};
use crate::rpc::Patience;

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct OpenDirectory {
    node: Arc<Node>,
    who: Credential,
    list: Mutex<List>,
}

/// What was read of it.
#[derive(Debug, Default)]
struct List {
    entries: Vec<Entry>,
    /// The numbers of the directory and of the one above, where the server told them.
    own: Option<u64>,
    above: Option<u64>,
    cookie: u64,
    verifier: cookieverf3,
    complete: bool,
}

impl List {
    /// Adds a page. After a restart of the listing, names that were given before are left out.
    fn add(&mut self, entries: Vec<Entry>, again: bool) {
        let known: HashSet<Vec<u8>> = if again {
            self.entries
                .iter()
                .map(|entry| entry.name.clone())
                .collect()
        } else {
            HashSet::new()
        };
        for entry in entries {
            self.cookie = entry.cookie;
            match entry.name.as_slice() {
                b"." => self.own = Some(entry.fileid),
                b".." => self.above = Some(entry.fileid),
                name if known.contains(name) => {}
                _ => self.entries.push(entry),
            }
        }
    }
}

impl Fs {
    /// Opens a directory for reading, if the server lets the caller.
    pub(crate) fn open_directory(&self, caller: Caller, node: &Arc<Node>) -> Outcome<u64> {
        let who = caller.credential();
        self.require(&who, node, ACCESS3_READ, &Patience::of(caller))?;
        let number = self.next_number();
        locked(&self.directories).insert(
            number,
            Arc::new(OpenDirectory {
                node: Arc::clone(node),
                who,
                list: Mutex::default(),
            }),
        );
        Ok(number)
    }

    /// An open directory by the number that the kernel was given.
    pub(crate) fn directory(&self, number: u64) -> Outcome<Arc<OpenDirectory>> {
        locked(&self.directories)
            .get(&number)
            .map(Arc::clone)
            .ok_or(Errno::EBADF)
    }

    /// A directory was closed.
    pub(crate) fn close_directory(&self, number: u64) {
        locked(&self.directories).remove(&number);
    }

    /// Gives entries from `offset` on to `take`, each with the offset of the next, until it has
    /// enough (`true`). Offset 0 starts anew.
    pub(crate) fn read_directory(
        &self,
        caller: Caller,
        directory: &OpenDirectory,
        offset: u64,
        mut take: impl FnMut(u64, u64, FileType, &[u8]) -> bool,
    ) -> Outcome<()> {
        let patience = Patience::of(caller);
        let mut list = locked(&directory.list);
        if offset == 0 {
            *list = List::default();
            self.page(directory, &mut list, &patience)?;
        }
        let mut next = offset;
        loop {
            let at = usize::try_from(next).map_err(|_| Errno::EINVAL)?;
            let full = match at {
                0 => take(
                    list.own.unwrap_or(directory.node.id),
                    1,
                    FileType::Directory,
                    b".",
                ),
                1 => take(
                    list.above.unwrap_or(directory.node.id),
                    2,
                    FileType::Directory,
                    b"..",
                ),
                _ => {
                    while list.entries.len() <= at - 2 && !list.complete {
                        self.page(directory, &mut list, &patience)?;
                    }
                    let Some(entry) = list.entries.get(at - 2) else {
                        return Ok(());
                    };
                    let kind = self.kind(directory, entry, &patience);
                    take(entry.fileid, next + 1, kind, &entry.name)
                }
            };
            if full {
                return Ok(());
            }
            next += 1;
        }
    }

    /// The kind of an entry. A server need not tell it along with the name.
    fn kind(&self, directory: &OpenDirectory, entry: &Entry, patience: &Patience) -> FileType {
        if let Some(kind) = entry.kind {
            return attributes::kind(kind);
        }
        self.client
            .lookup(
                &directory.who,
                &directory.node.handle(),
                &entry.name,
                patience,
            )
            .map_or(FileType::RegularFile, |found| {
                attributes::kind(found.attributes.type_)
            })
    }

    fn page(&self, directory: &OpenDirectory, list: &mut List, patience: &Patience) -> Outcome<()> {
        let ask = |cookie, verifier| {
            self.client.list(
                &directory.who,
                &directory.node.handle(),
                cookie,
                verifier,
                patience,
            )
        };
        match ask(list.cookie, list.verifier) {
            Ok(page) => {
                list.verifier = page.verifier;
                list.complete = page.last || page.entries.is_empty();
                list.add(page.entries, false);
                Ok(())
            }
            // The server does not know the place any more, after a restart perhaps: from the start.
            Err(Fault::Refused(nfsstat3::NFS3ERR_BAD_COOKIE, _)) if list.cookie != 0 => {
                list.cookie = 0;
                list.verifier = cookieverf3::default();
                loop {
                    let page = ask(list.cookie, list.verifier).map_err(Fault::errno)?;
                    list.verifier = page.verifier;
                    let complete = page.last || page.entries.is_empty();
                    list.add(page.entries, true);
                    if complete {
                        list.complete = true;
                        return Ok(());
                    }
                }
            }
            Err(fault) => Err(fault.errno()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, cookie: u64) -> Entry {
        Entry {
            name: name.as_bytes().to_vec(),
            fileid: cookie + 100,
            kind: None,
            cookie,
        }
    }

    #[test]
    fn a_listing_that_starts_again_gives_no_name_twice() {
        let mut list = List::default();
        list.add(vec![entry(".", 1), entry("..", 2), entry("a", 3)], false);
        assert_eq!(
            (list.own, list.above, list.cookie),
            (Some(101), Some(102), 3)
        );
        list.add(vec![entry("a", 7), entry("b", 8)], true);
        let names: Vec<_> = list.entries.iter().map(|entry| &entry.name[..]).collect();
        assert_eq!(names, [b"a", b"b"]);
        assert_eq!(list.cookie, 8);
    }
}

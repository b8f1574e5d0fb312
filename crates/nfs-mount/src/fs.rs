//! The file system: what the kernel asks for, answered by calls of NFS.
//!
//! Nothing that another client may change is remembered for longer than [`ATTRIBUTES`]: each walk
//! along a path asks the server for each name. So an opened file has the size and content that the
//! last one to close it left (close-to-open, as nfs(5) has it), also for readers like sendfile(2)
//! that trust the size which came with the name.

mod attributes;
mod changes;
mod commit;
mod data;
mod keeper;
mod kernel;
mod listing;
mod names;
mod node;
mod nodes;
mod open;
mod silly;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nfs3_types::nfs3::{FSSTAT3resok, fattr3, nfs_fh3};
use nix::errno::Errno;

use crate::client::{Client, Limits, Outcome};
use crate::options::Options;
use crate::workers::Workers;
use attributes::Space;
use listing::OpenDirectory;
use node::Node;
use nodes::Nodes;
use open::OpenFile;
use silly::Silly;

pub(crate) use keeper::keep;
pub(crate) use kernel::Kernel;

/// How long attributes are reused: long enough for the calls of one stat(2), far too short for
/// anybody to notice.
const ATTRIBUTES: Duration = Duration::from_millis(20);

/// A mounted export.
pub(crate) struct Fs {
    client: Client,
    limits: Limits,
    sync: bool,
    attributes_last: Duration,
    hard: bool,
    nodes: Nodes,
    next: AtomicU64,
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
    directories: Mutex<HashMap<u64, Arc<OpenDirectory>>>,
    silly: Silly,
    /// Bytes that the server has, but not on stable storage.
    uncommitted: AtomicU64,
    /// Files with such bytes.
    dirty: Mutex<HashMap<(u64, u64), Arc<Node>>>,
    last_root: Mutex<fattr3>,
    last_space: Mutex<Space>,
    workers: Workers,
    ended: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is whole after every statement, also after a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fs {
    /// The file system of an export.
    pub(crate) fn new(
        client: Client,
        limits: Limits,
        options: &Options,
        root: fattr3,
        space: &FSSTAT3resok,
    ) -> Self {
        let nodes = Nodes::new(client.root());
        Self {
            limits,
            sync: options.sync,
            attributes_last: if options.no_attribute_cache {
                Duration::ZERO
            } else {
                ATTRIBUTES
            },
            hard: !options.is_soft(),
            nodes,
            next: AtomicU64::new(1),
            files: Mutex::default(),
            directories: Mutex::default(),
            silly: Silly::default(),
            uncommitted: AtomicU64::new(0),
            dirty: Mutex::default(),
            last_root: Mutex::new(root),
            last_space: Mutex::new(Space::of(space, limits.name)),
            workers: Workers::default(),
            ended: AtomicBool::new(false),
            client,
        }
    }

    /// The calls of NFS.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Does a call with an object's handle. The root's may have become stale with a restart of the
    /// server; then it is looked for again, once.
    fn with_handle<T>(&self, node: &Node, call: impl Fn(&nfs_fh3) -> Outcome<T>) -> Outcome<T> {
        let handle = node.handle();
        match call(&handle) {
            Err(Errno::ESTALE) if node.is_root() => {
                let known = self.client.root();
                if known == handle && !self.client.find_root_again(&handle) {
                    return Err(Errno::ESTALE);
                }
                let found = self.client.root();
                self.nodes.root_is(&found);
                call(&found)
            }
            result => result,
        }
    }

    fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

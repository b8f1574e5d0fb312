//! What is done without being asked: data is committed after a while, and a silent server is asked
//! whether it is back.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use std::sync::atomic::Ordering;

use super::{Fs, locked};
use crate::rpc::Patience;

/// How long data stays uncommitted at most, if nobody asks for it (as dirty pages in a kernel).
const OLD: Duration = Duration::from_secs(5);
/// How often it is looked.
const ROUND: Duration = Duration::from_secs(1);
/// How long the end of a mount waits for what is left to commit.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// Starts the rounds; they end with the file system.
pub(crate) fn keep(fs: &Arc<Fs>) -> std::io::Result<thread::JoinHandle<()>> {
    let fs = Arc::clone(fs);
    thread::Builder::new()
        .name("nfs-keeper".to_owned())
        .spawn(move || {
            while !fs.ended.load(Ordering::SeqCst) {
                thread::park_timeout(ROUND);
                fs.round();
            }
        })
}

impl Fs {
    fn round(self: &Arc<Self>) {
        if self.client.link().is_silent() {
            // Whoever is answered from memory would never learn that the server is back.
            self.client.ping(ROUND);
            return;
        }
        let dirty: Vec<_> = {
            let mut dirty = locked(&self.dirty);
            dirty.retain(|_, node| !node.state().writes.is_empty());
            dirty.values().cloned().collect()
        };
        for node in dirty {
            let due = {
                let state = node.state();
                !state.committing && state.since.is_some_and(|since| since.elapsed() >= OLD)
            };
            if due {
                let fs = Arc::clone(self);
                self.workers.run(move || {
                    if let Err(error) = fs.commit(&node, &Patience::endless()) {
                        tracing::debug!(%error, "commit will be tried again");
                    }
                });
            }
        }
    }

    /// The kernel has let go of the mount: what is left is committed and removed, within limits.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        let until = Instant::now() + LAST_CHANCE;
        let dirty: Vec<_> = locked(&self.dirty).values().cloned().collect();
        for node in dirty {
            let left = until.saturating_duration_since(Instant::now());
            let committed = self.commit(&node, &Patience::at_most(left));
            let lost = node.state().writes.len();
            if lost > 0 {
                tracing::error!(
                    node = node.id,
                    ?committed,
                    writes = lost,
                    "written data is lost"
                );
            }
        }
        // Closing files that were hidden is under way, unless the server is silent.
        self.workers
            .finish(until.saturating_duration_since(Instant::now()));
        self.remove_all_silly();
        self.client.link().close();
        self.workers.finish(Duration::from_secs(2));
    }
}

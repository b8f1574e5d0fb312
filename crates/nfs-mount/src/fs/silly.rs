//! Files that are removed while they are open.
//!
//! `NFSv3` has no open files: what has no name is gone. So such a file gets another name, `.nfs...`,
//! and is removed when the last one closes it, as the kernel's client does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nfs3_types::nfs3::nfs_fh3;
use nix::errno::Errno;

use super::node::Node;
use super::{Fs, locked};
use crate::client::Outcome;
use crate::identity::Credential;
use crate::rpc::{Patience, TICK, random64};

/// How long RMDIR waits for the removal of renamed files in the directory whose last user is gone.
const WAIT: Duration = Duration::from_secs(2);
/// How long the end of a mount may take to remove what is left, for each file.
const LAST_CHANCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
struct Renamed {
    directory: nfs_fh3,
    name: Vec<u8>,
    who: Arc<Credential>,
    node: Arc<Node>,
}

/// The files that were renamed.
#[derive(Debug)]
pub(crate) struct Silly {
    renamed: Mutex<Vec<Renamed>>,
    changed: Condvar,
    counter: AtomicU32,
}

impl Default for Silly {
    fn default() -> Self {
        let [.., a, b, c, d] = random64().to_be_bytes();
        Self {
            renamed: Mutex::default(),
            changed: Condvar::new(),
            counter: AtomicU32::new(u32::from_be_bytes([a, b, c, d])),
        }
    }
}

/// The name that a file gets: its number and a counter, as the kernel's client has it.
fn silly_name(id: u64, counter: u32) -> Vec<u8> {
    format!(".nfs{id:016x}{counter:08x}").into_bytes()
}

impl Fs {
    /// The file of a name, if removing the name would take an open file away.
    pub(crate) fn open_elsewhere(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        patience: &Patience,
    ) -> Outcome<Option<Arc<Node>>> {
        if !self.has_open_files() {
            return Ok(None);
        }
        let found = self.client.lookup(who, directory, name, patience)?;
        Ok(self
            .nodes
            .by_handle(&found.handle)
            .filter(|node| found.attributes.nlink <= 1 && node.state().open > 0))
    }

    /// Gives an open file another name, under which it stays until it is closed.
    pub(crate) fn hide(
        &self,
        who: Credential,
        directory: &nfs_fh3,
        name: &[u8],
        node: &Arc<Node>,
        patience: &Patience,
    ) -> Outcome<Vec<u8>> {
        if node.state().silly.as_deref() == Some(name) {
            // Its last user takes this name away; as the kernel's client answers.
            return Err(Errno::EBUSY);
        }
        let hidden = silly_name(node.id, self.silly.counter.fetch_add(1, Ordering::Relaxed));
        let handle = node.handle();
        self.client.rename(
            &who,
            (directory, name),
            (directory, &hidden),
            Some(&handle),
            patience,
        )?;
        locked(&self.silly.renamed).push(Renamed {
            directory: directory.clone(),
            name: hidden.clone(),
            who: Arc::new(who),
            node: Arc::clone(node),
        });
        let mut state = node.state();
        state.silly = Some(hidden.clone());
        let closed = state.open == 0;
        drop(state);
        if closed {
            // The last one closed it while it was renamed, and did not see the new name.
            self.remove_silly(node, patience);
        }
        Ok(hidden)
    }

    /// Forgets that a file was hidden: it has its name again.
    pub(crate) fn unhide(&self, node: &Node, name: &[u8]) {
        node.state().silly = None;
        locked(&self.silly.renamed).retain(|renamed| renamed.name != name);
    }

    /// Removes a file that was renamed, now that nobody has it open.
    pub(crate) fn remove_silly(&self, node: &Node, patience: &Patience) {
        let name = {
            let mut state = node.state();
            if state.open > 0 {
                return;
            }
            state.silly.take()
        };
        let Some(name) = name else { return };
        let renamed = locked(&self.silly.renamed)
            .iter()
            .find(|renamed| renamed.name == name)
            .cloned();
        if let Some(renamed) = renamed {
            self.remove_renamed(&renamed, patience);
        }
    }

    fn remove_renamed(&self, renamed: &Renamed, patience: &Patience) {
        let result = self
            .client
            .remove(&renamed.who, &renamed.directory, &renamed.name, patience);
        match result {
            Ok(()) | Err(Errno::ENOENT | Errno::ESTALE) => {}
            // Left on the list: the end of the mount tries again.
            Err(Errno::ENODEV | Errno::EINTR) => return,
            Err(error) => {
                let name = String::from_utf8_lossy(&renamed.name).into_owned();
                tracing::warn!(name, %error, "renamed file was not removed");
            }
        }
        locked(&self.silly.renamed).retain(|other| other.name != renamed.name);
        self.silly.changed.notify_all();
    }

    /// Waits until no file that nobody has open is about to be removed from a directory. `false`
    /// if there was nothing to wait for, or it took too long.
    pub(crate) fn silly_gone_from(&self, directory: &nfs_fh3) -> bool {
        let leaving =
            |renamed: &Renamed| renamed.directory == *directory && renamed.node.state().open == 0;
        let until = Instant::now() + WAIT;
        let mut list = locked(&self.silly.renamed);
        if !list.iter().any(leaving) {
            return false;
        }
        while list.iter().any(leaving) {
            if Instant::now() >= until {
                return false;
            }
            list = self
                .silly
                .changed
                .wait_timeout(list, TICK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// The mount is gone, and with it everybody who had a file open.
    pub(crate) fn remove_all_silly(&self) {
        let left = locked(&self.silly.renamed).clone();
        for renamed in left {
            self.remove_renamed(&renamed, &Patience::at_most(LAST_CHANCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_form_that_administrators_know() {
        assert_eq!(silly_name(0x1234, 0xab), b".nfs0000000000001234000000ab");
    }
}

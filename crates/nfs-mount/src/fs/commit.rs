//! Data that the server took but may lose (RFC 1813, sections 3.3.7 and 3.3.21).
//!
//! It is kept here until COMMIT has brought it to stable storage. The verifier of a reply tells
//! whether the server was restarted since a write; then what it lost is written again, in the order
//! of the first time, and stable at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nfs3_types::nfs3::writeverf3;
use nix::errno::Errno;

use super::node::{Node, State, Uncommitted};
use super::{Fs, locked};
use crate::client::{Fault, Outcome};
use crate::rpc::Patience;

/// How many uncommitted bytes are kept for all files together, before writers commit.
const KEPT_MAX: u64 = 64 * 1024 * 1024;

/// What a COMMIT with a verifier means for the writes that it covered.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// They are all on stable storage.
    Stable,
    /// The first of these was lost; what came before it is stable.
    LostFrom(usize),
}

/// Judges writes, given in order by their verifiers.
fn judge(
    verifiers: impl IntoIterator<Item = Option<writeverf3>>,
    committed: writeverf3,
) -> Verdict {
    match verifiers
        .into_iter()
        .position(|verifier| verifier != Some(committed))
    {
        None => Verdict::Stable,
        Some(first) => Verdict::LostFrom(first),
    }
}

impl State {
    /// How many of the writes, in order, have numbers below `end`.
    fn before(&self, end: u64) -> usize {
        self.writes.partition_point(|write| write.number < end)
    }

    /// Notes an error that nobody could be told of yet.
    pub(crate) fn fail(&mut self, errno: Errno) {
        self.failures += 1;
        self.failure = Some(errno);
    }
}

impl Fs {
    /// Keeps data until it is committed.
    pub(crate) fn keep_data(&self, node: &Arc<Node>, write: Uncommitted, epoch: u64) {
        self.uncommitted
            .fetch_add(write.data.len() as u64, Ordering::SeqCst);
        let mut state = node.state();
        let number = state.next_write;
        state.next_write += 1;
        state.since.get_or_insert_with(Instant::now);
        state.epoch = if state.writes.is_empty() {
            epoch
        } else {
            state.epoch.min(epoch)
        };
        state.writes.push(Uncommitted { number, ..write });
        drop(state);
        locked(&self.dirty).insert((node.id, node.generation), Arc::clone(node));
    }

    fn drop_data(&self, writes: impl Iterator<Item = Uncommitted>) {
        let bytes = writes.map(|write| write.data.len() as u64).sum();
        self.uncommitted.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether so much is kept that a writer should commit.
    pub(crate) fn keeps_too_much(&self) -> bool {
        self.uncommitted.load(Ordering::SeqCst) > KEPT_MAX
    }

    /// Does what depends on a file's content on the server, such as reading it. When the connection
    /// was made anew while there is uncommitted data, that is committed first, since the server may
    /// have lost it.
    pub(crate) fn settled<T>(
        &self,
        node: &Node,
        patience: &Patience,
        act: impl Fn() -> Outcome<T>,
    ) -> Outcome<T> {
        loop {
            if self.is_suspect(node) {
                self.commit(node, patience)?;
            }
            let result = act()?;
            if !self.is_suspect(node) {
                return Ok(result);
            }
        }
    }

    /// Whether the server may have been restarted since data was written that is not committed.
    pub(crate) fn is_suspect(&self, node: &Node) -> bool {
        let state = node.state();
        !state.writes.is_empty() && state.epoch != self.client.link().epoch()
    }

    /// Brings everything that was written to stable storage. What the server refuses for good is
    /// given up and noted as a failure of the file, for all who have it open.
    ///
    /// # Errors
    /// When the server could not be asked; the data is still kept then.
    pub(crate) fn commit(&self, node: &Node, patience: &Patience) -> Outcome<()> {
        let mut state = node.state();
        loop {
            if state.writes.is_empty() {
                return Ok(());
            }
            if !state.committing {
                break;
            }
            state = self.wait_for(node, state, patience)?;
        }
        state.committing = true;
        drop(state);
        let result = self.commit_in_turn(node, patience);
        let mut state = node.state();
        state.committing = false;
        if state.writes.is_empty() {
            state.since = None;
        }
        drop(state);
        node.notify();
        result
    }

    /// Waits for a change of a file's state, unless the wait should end.
    pub(crate) fn wait_for<'a>(
        &self,
        node: &'a Node,
        state: std::sync::MutexGuard<'a, State>,
        patience: &Patience,
    ) -> Outcome<std::sync::MutexGuard<'a, State>> {
        let state = node.wait(state, patience.next_look());
        let link = self.client.link();
        if link.is_closed() {
            return Err(Errno::ENODEV);
        }
        match patience.ended(link.is_silent()) {
            None => Ok(state),
            Some(_) => Err(Errno::EINTR),
        }
    }

    fn commit_in_turn(&self, node: &Node, patience: &Patience) -> Outcome<()> {
        let epoch = self.client.link().epoch();
        let (end, who) = {
            let state = node.state();
            let Some(last) = state.writes.last() else {
                return Ok(());
            };
            (last.number + 1, Arc::clone(&last.who))
        };
        let committed = match self.client.commit(&who, &node.handle(), patience) {
            Ok(verifier) => verifier,
            Err(Fault::Link(errno)) => return Err(errno),
            Err(refused @ Fault::Refused(..)) => {
                self.give_up(node, end, refused.errno());
                return Ok(());
            }
        };
        let mut state = node.state();
        let covered = state.before(end);
        let stable = match judge(
            state.writes[..covered].iter().map(|write| write.verifier),
            committed,
        ) {
            Verdict::Stable => covered,
            Verdict::LostFrom(first) => first,
        };
        self.drop_data(state.writes.drain(..stable));
        if stable == covered {
            // What is left was written after the COMMIT was sent, over this connection or a later.
            state.epoch = epoch;
            return Ok(());
        }
        drop(state);
        self.write_again(node, patience)
    }

    /// Gives up data that the server refuses.
    fn give_up(&self, node: &Node, end: u64, errno: Errno) {
        let mut state = node.state();
        let refused = state.before(end);
        tracing::error!(node = node.id, %errno, writes = refused, "written data is lost");
        self.drop_data(state.writes.drain(..refused));
        state.fail(errno);
    }

    /// Writes again what the server lost, and everything later: that may lie over it. New writes
    /// wait meanwhile, for the same reason.
    fn write_again(&self, node: &Node, patience: &Patience) -> Outcome<()> {
        let mut state = node.state();
        state.replaying = true;
        let mut result = Ok(());
        while state.writing > 0 {
            match self.wait_for(node, state, patience) {
                Ok(woken) => state = woken,
                Err(error) => {
                    result = Err(error);
                    state = node.state();
                    break;
                }
            }
        }
        let lost = if result.is_ok() {
            state.writes.clone()
        } else {
            Vec::new()
        };
        drop(state);
        let bytes: usize = lost.iter().map(|write| write.data.len()).sum();
        for write in lost {
            match self.write_stable(node, &write, patience) {
                Ok(()) => {}
                Err(Fault::Link(errno)) => {
                    result = Err(errno);
                    break;
                }
                Err(refused @ Fault::Refused(..)) => {
                    let errno = refused.errno();
                    tracing::error!(node = node.id, %errno, "written data is lost");
                    node.state().fail(errno);
                }
            }
            let mut state = node.state();
            let end = state.before(write.number + 1);
            self.drop_data(state.writes.drain(..end));
        }
        if result.is_ok() {
            tracing::warn!(
                node = node.id,
                bytes,
                "server was restarted; data was written again"
            );
        }
        node.state().replaying = false;
        node.notify();
        result
    }

    fn write_stable(
        &self,
        node: &Node,
        write: &Uncommitted,
        patience: &Patience,
    ) -> Result<(), Fault> {
        let mut done = 0;
        while done < write.data.len() {
            let rest = if done == 0 {
                Arc::clone(&write.data)
            } else {
                Arc::from(&write.data[done..])
            };
            let written = self.client.write(
                &write.who,
                &node.handle(),
                write.offset + done as u64,
                &rest,
                true,
                patience,
            )?;
            if written.count == 0 {
                return Err(Fault::Link(Errno::EIO));
            }
            done += written.count as usize;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_of_another_start_means_loss_from_there_on() {
        let now = writeverf3([2; 8]);
        let (old, new) = (Some(writeverf3([1; 8])), Some(now));
        assert_eq!(judge([], now), Verdict::Stable);
        assert_eq!(judge([new, new], now), Verdict::Stable);
        assert_eq!(judge([old, new], now), Verdict::LostFrom(0));
        assert_eq!(judge([new, old, new], now), Verdict::LostFrom(1));
        // What never got there is as good as lost.
        assert_eq!(judge([new, None], now), Verdict::LostFrom(1));
    }
}

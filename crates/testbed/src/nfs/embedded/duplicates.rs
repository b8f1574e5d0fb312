//! Calls that a client sends again (RFC 1813, section 4.5).
//!
//! A client that has not seen a reply repeats the call with the same number. Doing a REMOVE twice
//! would fail the second time, so the replies of calls that may not be repeated are kept for a
//! while and given again. A call is the same if number, client, and every byte are.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use super::Procedure;

/// How many replies are kept.
const KEPT: usize = 1024;

/// What makes a call the same as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    peer: SocketAddr,
    xid: u32,
    digest: u64,
}

impl CallKey {
    /// The key of a record from a client.
    pub(crate) fn new(peer: SocketAddr, xid: u32, record: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(record);
        Self {
            peer,
            xid,
            digest: hasher.finish(),
        }
    }
}

/// What is to be done with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Carry it out.
    Never,
    /// It is being carried out; its reply will come.
    Running,
    /// This was the reply.
    Answered(Vec<u8>),
}

#[derive(Debug, Default)]
struct Kept {
    replies: HashMap<CallKey, Option<Vec<u8>>>,
    order: VecDeque<CallKey>,
}

/// The replies that are kept.
#[derive(Debug, Default)]
pub(crate) struct Duplicates(Mutex<Kept>);

impl Duplicates {
    /// Asks for a call, and notes that it runs from now on if it was never seen.
    pub(crate) fn begin(&self, key: CallKey) -> Seen {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.replies.get(&key) {
            Some(Some(reply)) => return Seen::Answered(reply.clone()),
            Some(None) => return Seen::Running,
            None => {}
        }
        kept.replies.insert(key, None);
        kept.order.push_back(key);
        if kept.order.len() > KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.replies.remove(&oldest);
        }
        Seen::Never
    }

    /// Keeps the reply of a call.
    pub(crate) fn finish(&self, key: &CallKey, reply: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = kept.replies.get_mut(key) {
            *slot = Some(reply.to_vec());
        }
    }
}

/// Whether a second run of a procedure would find the first one's effect.
pub(crate) fn unrepeatable(procedure: Procedure) -> bool {
    match procedure {
        Procedure::NFSPROC3_SETATTR
        | Procedure::NFSPROC3_CREATE
        | Procedure::NFSPROC3_MKDIR
        | Procedure::NFSPROC3_SYMLINK
        | Procedure::NFSPROC3_MKNOD
        | Procedure::NFSPROC3_REMOVE
        | Procedure::NFSPROC3_RMDIR
        | Procedure::NFSPROC3_RENAME
        | Procedure::NFSPROC3_LINK => true,
        Procedure::NFSPROC3_NULL
        | Procedure::NFSPROC3_GETATTR
        | Procedure::NFSPROC3_LOOKUP
        | Procedure::NFSPROC3_ACCESS
        | Procedure::NFSPROC3_READLINK
        | Procedure::NFSPROC3_READ
        | Procedure::NFSPROC3_WRITE
        | Procedure::NFSPROC3_READDIR
        | Procedure::NFSPROC3_READDIRPLUS
        | Procedure::NFSPROC3_FSSTAT
        | Procedure::NFSPROC3_FSINFO
        | Procedure::NFSPROC3_PATHCONF
        | Procedure::NFSPROC3_COMMIT => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16, xid: u32, record: &[u8]) -> CallKey {
        CallKey::new(SocketAddr::from(([127, 0, 0, 1], port)), xid, record)
    }

    #[test]
    fn a_repeated_call_gets_the_first_reply() {
        let duplicates = Duplicates::default();
        let call = key(1, 7, b"remove a");
        assert_eq!(duplicates.begin(call), Seen::Never);
        assert_eq!(duplicates.begin(call), Seen::Running);
        duplicates.finish(&call, b"done");
        assert_eq!(duplicates.begin(call), Seen::Answered(b"done".to_vec()));
    }

    #[test]
    fn another_client_number_or_content_is_another_call() {
        let duplicates = Duplicates::default();
        for call in [
            key(1, 7, b"remove a"),
            key(2, 7, b"remove a"),
            key(1, 8, b"remove a"),
            key(1, 7, b"remove b"),
        ] {
            assert_eq!(duplicates.begin(call), Seen::Never);
        }
    }

    #[test]
    fn old_replies_are_dropped() {
        let duplicates = Duplicates::default();
        let first = key(1, 0, b"");
        duplicates.begin(first);
        duplicates.finish(&first, b"done");
        for xid in 1..=KEPT {
            duplicates.begin(key(1, u32::try_from(xid).expect("small"), b""));
        }
        assert_eq!(duplicates.begin(first), Seen::Never);
    }
}

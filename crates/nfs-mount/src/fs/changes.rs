//! Changes of attributes.

use std::time::SystemTime;

use fuser::{FileAttr, TimeOrNow};
use nfs3_types::nfs3::{nfstime3, sattr3, set_atime, set_mtime};

use super::Fs;
use super::names::optional;
use super::node::Node;
use super::open::OpenFile;
use crate::client::Outcome;
use crate::identity::Caller;
use crate::rpc::Patience;

/// What is to be changed; `None` is left alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
}

/// A time of the wire: seconds since 1970 in 32 bits. What lies outside becomes the nearest.
fn time(time: SystemTime) -> nfstime3 {
    nfstime3::try_from(time).unwrap_or_default()
}

impl Changes {
    fn wire(&self) -> sattr3 {
        sattr3 {
            mode: optional(self.mode.map(|mode| mode & 0o7777)),
            uid: optional(self.uid),
            gid: optional(self.gid),
            size: optional(self.size),
            atime: match self.atime {
                None => set_atime::DONT_CHANGE,
                Some(TimeOrNow::Now) => set_atime::SET_TO_SERVER_TIME,
                Some(TimeOrNow::SpecificTime(at)) => set_atime::SET_TO_CLIENT_TIME(time(at)),
            },
            mtime: match self.mtime {
                None => set_mtime::DONT_CHANGE,
                Some(TimeOrNow::Now) => set_mtime::SET_TO_SERVER_TIME,
                Some(TimeOrNow::SpecificTime(at)) => set_mtime::SET_TO_CLIENT_TIME(time(at)),
            },
        }
    }
}

impl Fs {
    /// Changes attributes. Through an open file it is done as who opened it (ftruncate(2)).
    pub(crate) fn change(
        &self,
        caller: Caller,
        node: &Node,
        changes: &Changes,
        file: Option<&OpenFile>,
    ) -> Outcome<FileAttr> {
        let patience = Patience::of(caller);
        if changes.size.is_some() {
            // Else data from beyond a new end could be written again later.
            self.commit(node, &patience)?;
        }
        let by_file = file
            .filter(|file| changes.size.is_some() && file.writable)
            .map(|file| &*file.who);
        let own = caller.credential();
        let who = by_file.unwrap_or(&own);
        let attributes = self.settled(node, &patience, || {
            self.with_handle(node, |handle| {
                self.client
                    .set_attributes(who, handle, changes.wire(), &patience)
            })
        })?;
        let number = if node.is_root() {
            attributes.fileid
        } else {
            node.id
        };
        Ok(self.for_kernel(&attributes, number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_before_1970_and_after_2106_become_the_nearest() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(time(early).seconds, 0);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        assert_eq!(time(late).seconds, u32::MAX);
    }

    #[test]
    fn what_is_not_named_is_left_alone() {
        let wire = Changes {
            mode: Some(0o100_644),
            ..Changes::default()
        }
        .wire();
        assert_eq!(wire.mode, optional(Some(0o644)));
        assert!(wire.uid.is_none() && wire.gid.is_none() && wire.size.is_none());
        assert!(matches!(wire.atime, set_atime::DONT_CHANGE));
    }
}

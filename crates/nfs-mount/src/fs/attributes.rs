//! Attributes: from the server for the kernel, and the root's when the server is gone.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};
use nfs3_types::nfs3::{FSSTAT3resok, fattr3, ftype3, specdata3};
use nix::errno::Errno;

use super::node::Node;
use super::nodes::ROOT;
use super::{Fs, locked};
use crate::client::Outcome;
use crate::identity::Caller;
use crate::rpc::Patience;

/// How long the root's attributes are waited for, before the last known ones serve: a kubelet that
/// looks at its mounts must not hang with the server.
const ROOT_WAIT: Duration = Duration::from_secs(2);

/// The kind of an object.
pub(crate) fn kind(kind: ftype3) -> FileType {
    match kind {
        ftype3::NF3REG => FileType::RegularFile,
        ftype3::NF3DIR => FileType::Directory,
        ftype3::NF3BLK => FileType::BlockDevice,
        ftype3::NF3CHR => FileType::CharDevice,
        ftype3::NF3LNK => FileType::Symlink,
        ftype3::NF3SOCK => FileType::Socket,
        ftype3::NF3FIFO => FileType::NamedPipe,
    }
}

/// A device's number as FUSE has it: the kernel's `new_encode_dev`.
fn device(numbers: &specdata3) -> u32 {
    let (major, minor) = (numbers.specdata1, numbers.specdata2);
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The same the other way.
pub(crate) fn device_numbers(device: u32) -> specdata3 {
    specdata3 {
        specdata1: (device & 0x000f_ff00) >> 8,
        specdata2: (device & 0xff) | ((device >> 12) & !0xff),
    }
}

impl Fs {
    /// Attributes for the kernel. `number` is what stat(2) shows as the inode.
    pub(crate) fn for_kernel(&self, attributes: &fattr3, number: u64) -> FileAttr {
        FileAttr {
            ino: INodeNo(number),
            size: attributes.size,
            blocks: attributes.used.div_ceil(512),
            atime: attributes.atime.into(),
            mtime: attributes.mtime.into(),
            ctime: attributes.ctime.into(),
            crtime: SystemTime::UNIX_EPOCH,
            kind: kind(attributes.type_),
            perm: u16::try_from(attributes.mode & 0o7777).unwrap_or(0),
            nlink: attributes.nlink,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: device(&attributes.rdev),
            // As the kernel's client: programs then write in pieces that are sent at once.
            blksize: self.limits.write,
            flags: 0,
        }
    }

    /// What stat(2) shows of an object.
    pub(crate) fn get_attributes(&self, caller: Caller, node: &Node) -> Outcome<FileAttr> {
        let patience = Patience::of(caller);
        if node.is_root() {
            let attributes = self.root_attributes(&patience)?;
            return Ok(self.for_kernel(&attributes, attributes.fileid));
        }
        let attributes = self.current(node, &patience)?;
        Ok(self.for_kernel(&attributes, node.id))
    }

    /// Attributes of now, after whatever a restart of the server lost was written again.
    pub(crate) fn current(&self, node: &Node, patience: &Patience) -> Outcome<fattr3> {
        self.settled(node, patience, || {
            self.with_handle(node, |handle| self.client.attributes(handle, patience))
        })
    }

    fn root_attributes(&self, patience: &Patience) -> Outcome<fattr3> {
        let root = self.nodes.get(ROOT)?;
        self.or_last(patience, &self.last_root, |patience| {
            self.with_handle(&root, |handle| self.client.attributes(handle, patience))
        })
    }

    /// What statfs(2) shows.
    pub(crate) fn space(&self, caller: Caller) -> Outcome<Space> {
        let root = self.nodes.get(ROOT)?;
        self.or_last(&Patience::of(caller), &self.last_space, |patience| {
            self.with_handle(&root, |_| self.client.space(patience))
                .map(|found| Space::of(&found, self.limits.name))
        })
    }

    /// Asks the server. On a hard mount a silent one is not waited for: the last answer serves, as
    /// umount(8) and kubelets look at a mount before they take it away.
    fn or_last<T: Clone>(
        &self,
        patience: &Patience,
        last: &Mutex<T>,
        ask: impl Fn(&Patience) -> Outcome<T>,
    ) -> Outcome<T> {
        let link = self.client.link();
        if self.hard && link.is_silent() {
            return Ok(locked(last).clone());
        }
        let limit = self.hard.then_some(ROOT_WAIT);
        match ask(&patience.within(limit)) {
            Ok(found) => {
                locked(last).clone_from(&found);
                Ok(found)
            }
            Err(error) if self.hard && error != Errno::EINTR && link.is_silent() => {
                Ok(locked(last).clone())
            }
            Err(error) => Err(error),
        }
    }
}

/// Room of the file system, in blocks of [`BLOCK`] bytes, and of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
    pub(crate) objects: u64,
    pub(crate) objects_free: u64,
    pub(crate) name: u32,
}

/// The unit of [`Space`], in bytes.
pub(crate) const BLOCK: u32 = 4096;

impl Space {
    pub(crate) fn of(found: &FSSTAT3resok, name: u32) -> Self {
        let blocks = |bytes: u64| bytes / u64::from(BLOCK);
        Self {
            blocks: blocks(found.tbytes),
            free: blocks(found.fbytes),
            available: blocks(found.abytes),
            objects: found.tfiles,
            objects_free: found.ffiles,
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_way_there_and_back() {
        for (major, minor) in [(1, 3), (8, 0), (259, 300), (4095, 0xf_ffff)] {
            let numbers = specdata3 {
                specdata1: major,
                specdata2: minor,
            };
            assert_eq!(device_numbers(device(&numbers)), numbers);
        }
        // /dev/null is 1:3.
        assert_eq!(device_numbers(0x103).specdata1, 1);
    }
}

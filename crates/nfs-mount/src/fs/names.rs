//! What is done with names: finding, making, removing, renaming.

use std::sync::Arc;

use fuser::{FileAttr, FopenFlags, OpenFlags};
use nfs3_types::nfs3::{
    Nfs3Option, createhow3, createverf3, devicedata3, mknoddata3, sattr3, set_atime, set_mtime,
};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;

use super::Fs;
use super::attributes::device_numbers;
use super::changes::Changes;
use super::node::Node;
use crate::client::{Made, Outcome, new_object};
use crate::identity::{Caller, Credential};
use crate::rpc::{Patience, random64};

/// An object for the kernel: its attributes and its generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) attributes: FileAttr,
    pub(crate) generation: u64,
}

impl Fs {
    /// Notes that the kernel is told of an object.
    fn tell(&self, made: &Made, patience: &Patience) -> Outcome<(Arc<Node>, Told)> {
        let node = self.nodes.told(&self.client, made, patience)?;
        let told = Told {
            attributes: self.for_kernel(&made.attributes, node.id),
            generation: node.generation,
        };
        Ok((node, told))
    }

    /// Finds a name in a directory.
    pub(crate) fn lookup(&self, caller: Caller, parent: &Node, name: &[u8]) -> Outcome<Told> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let found = self.with_handle(parent, |directory| {
            self.client.lookup(&who, directory, name, &patience)
        })?;
        let (node, told) = self.tell(&found, &patience)?;
        if !self.is_suspect(&node) {
            return Ok(told);
        }
        // The size may be one that a restarted server fell back to.
        let attributes = self.current(&node, &patience)?;
        Ok(Told {
            attributes: self.for_kernel(&attributes, node.id),
            ..told
        })
    }

    /// Makes a file and opens it.
    pub(crate) fn create(
        &self,
        caller: Caller,
        parent: &Node,
        name: &[u8],
        mode: u32,
        flags: OpenFlags,
    ) -> Outcome<(Told, u64, FopenFlags)> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let new = if flags.0 & OFlag::O_EXCL.bits() != 0 {
            self.create_exclusive(&who, parent, name, mode, &patience)?
        } else {
            match self.create_new(&who, parent, name, mode, &patience) {
                // Somebody else was faster; then it is an ordinary open.
                Err(Errno::EEXIST) => {
                    let found = self.with_handle(parent, |directory| {
                        self.client.lookup(&who, directory, name, &patience)
                    })?;
                    let (node, told) = self.tell(&found, &patience)?;
                    let (number, opened) = self.open(caller, &node, flags)?;
                    return self.truncated(caller, &node, told, number, flags, opened);
                }
                result => result?,
            }
        };
        let (node, told) = self.tell(&new, &patience)?;
        let (number, opened) = self.opened(&node, who, flags, &new.attributes);
        Ok((told, number, opened))
    }

    /// What `O_TRUNC` means for a file that was there already: the kernel takes it for new.
    fn truncated(
        &self,
        caller: Caller,
        node: &Node,
        told: Told,
        number: u64,
        flags: OpenFlags,
        opened: FopenFlags,
    ) -> Outcome<(Told, u64, FopenFlags)> {
        if flags.0 & OFlag::O_TRUNC.bits() == 0 {
            return Ok((told, number, opened));
        }
        let empty = Changes {
            size: Some(0),
            ..Changes::default()
        };
        match self.change(caller, node, &empty, None) {
            Ok(attributes) => Ok((Told { attributes, ..told }, number, opened)),
            Err(error) => {
                if let Some(file) = self.close(number) {
                    self.closed(&file);
                }
                Err(error)
            }
        }
    }

    fn create_new(
        &self,
        who: &Credential,
        parent: &Node,
        name: &[u8],
        mode: u32,
        patience: &Patience,
    ) -> Outcome<Made> {
        self.with_handle(parent, |directory| {
            let how = createhow3::GUARDED(new_object(mode));
            self.client.create(who, directory, name, how, patience)
        })
    }

    /// With `O_EXCL`: the server knows a repeated call by its verifier, so that exactly one
    /// creator succeeds, and learns of it even when the first reply was lost.
    fn create_exclusive(
        &self,
        who: &Credential,
        parent: &Node,
        name: &[u8],
        mode: u32,
        patience: &Patience,
    ) -> Outcome<Made> {
        let verifier = createverf3(random64().to_be_bytes());
        let new = match self.with_handle(parent, |directory| {
            let how = createhow3::EXCLUSIVE(verifier);
            self.client.create(who, directory, name, how, patience)
        }) {
            Err(Errno::EOPNOTSUPP) => return self.create_new(who, parent, name, mode, patience),
            result => result?,
        };
        // The verifier may be kept in the times, and there was no room for a mode.
        let settled = sattr3 {
            atime: set_atime::SET_TO_SERVER_TIME,
            mtime: set_mtime::SET_TO_SERVER_TIME,
            ..new_object(mode)
        };
        let attributes = self
            .client
            .set_attributes(who, &new.handle, settled, patience)?;
        Ok(Made { attributes, ..new })
    }

    /// Makes a directory.
    pub(crate) fn make_directory(
        &self,
        caller: Caller,
        parent: &Node,
        name: &[u8],
        mode: u32,
    ) -> Outcome<Told> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let new = self.with_handle(parent, |directory| {
            let attributes = new_object(mode);
            self.client
                .make_directory(&who, directory, name, attributes, &patience)
        })?;
        Ok(self.tell(&new, &patience)?.1)
    }

    /// Makes a symbolic link.
    pub(crate) fn make_symlink(
        &self,
        caller: Caller,
        parent: &Node,
        name: &[u8],
        target: &[u8],
    ) -> Outcome<Told> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let new = self.with_handle(parent, |directory| {
            self.client
                .make_link(&who, directory, name, target, &patience)
        })?;
        Ok(self.tell(&new, &patience)?.1)
    }

    /// Makes a FIFO, socket or device; or a file, for mknod(2).
    pub(crate) fn make_special(
        &self,
        caller: Caller,
        parent: &Node,
        name: &[u8],
        mode: u32,
        device: u32,
    ) -> Outcome<Told> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let kind = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
        let what = || {
            let attributes = new_object(mode);
            let device = |dev_attributes| devicedata3 {
                dev_attributes,
                spec: device_numbers(device),
            };
            match kind {
                SFlag::S_IFIFO => Some(mknoddata3::NF3FIFO(attributes)),
                SFlag::S_IFSOCK => Some(mknoddata3::NF3SOCK(attributes)),
                SFlag::S_IFCHR => Some(mknoddata3::NF3CHR(device(attributes))),
                SFlag::S_IFBLK => Some(mknoddata3::NF3BLK(device(attributes))),
                _ => None,
            }
        };
        let new = if kind == SFlag::S_IFREG {
            self.create_new(&who, parent, name, mode, &patience)?
        } else {
            self.with_handle(parent, |directory| {
                let what = what().ok_or(Errno::EINVAL)?;
                self.client
                    .make_special(&who, directory, name, what, &patience)
            })?
        };
        Ok(self.tell(&new, &patience)?.1)
    }

    /// Gives a file one more name.
    pub(crate) fn link(
        &self,
        caller: Caller,
        node: &Node,
        parent: &Node,
        name: &[u8],
    ) -> Outcome<Told> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let linked = self.with_handle(parent, |directory| {
            self.client
                .link_to(&who, &node.handle(), directory, name, &patience)
        })?;
        Ok(self.tell(&linked, &patience)?.1)
    }

    /// Removes a name; an open file without another name is hidden instead.
    pub(crate) fn unlink(&self, caller: Caller, parent: &Node, name: &[u8]) -> Outcome<()> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let directory = parent.handle();
        match self.open_elsewhere(&who, &directory, name, &patience)? {
            Some(node) => self.hide(who, &directory, name, &node, &patience).map(drop),
            None => self.client.remove(&who, &directory, name, &patience),
        }
    }

    /// Removes an empty directory. Files in it that were hidden and then closed are not content.
    pub(crate) fn remove_directory(
        &self,
        caller: Caller,
        parent: &Node,
        name: &[u8],
    ) -> Outcome<()> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let directory = parent.handle();
        let remove = || {
            self.client
                .remove_directory(&who, &directory, name, &patience)
        };
        match remove() {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                let inner = self.client.lookup(&who, &directory, name, &patience)?;
                if self.silly_gone_from(&inner.handle) {
                    remove()
                } else {
                    Err(Errno::ENOTEMPTY)
                }
            }
            result => result,
        }
    }

    /// Renames. What the new name led to is removed, or hidden if it is open.
    pub(crate) fn rename(
        &self,
        caller: Caller,
        from: (&Node, &[u8]),
        to: (&Node, &[u8]),
    ) -> Outcome<()> {
        let patience = Patience::of(caller);
        let who = caller.credential();
        let (from_directory, to_directory) = (from.0.handle(), to.0.handle());
        let moved = self
            .client
            .lookup(&who, &from_directory, from.1, &patience)?
            .handle;
        let replaced = match self.open_elsewhere(&who, &to_directory, to.1, &patience) {
            // Two names of one file: nothing happens to either (rename(2)).
            Ok(Some(node)) if node.handle() == moved => None,
            Ok(replaced) => replaced,
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let hidden = match &replaced {
            Some(node) => Some(self.hide(who.clone(), &to_directory, to.1, node, &patience)?),
            None => None,
        };
        let renamed = self.client.rename(
            &who,
            (&from_directory, from.1),
            (&to_directory, to.1),
            Some(&moved),
            &patience,
        );
        if renamed.is_err()
            && let (Some(node), Some(hidden)) = (replaced, hidden)
        {
            let back = self.client.rename(
                &who,
                (&to_directory, &hidden),
                (&to_directory, to.1),
                None,
                &patience,
            );
            if back.is_ok() {
                self.unhide(&node, &hidden);
            }
        }
        renamed
    }

    /// Where a symbolic link leads.
    pub(crate) fn read_link(&self, caller: Caller, node: &Node) -> Outcome<Vec<u8>> {
        self.client
            .read_link(&caller.credential(), &node.handle(), &Patience::of(caller))
    }

    /// Whether the caller has the rights of access(2) or chdir(2).
    pub(crate) fn access(&self, caller: Caller, node: &Node, mask: i32) -> Outcome<()> {
        let patience = Patience::of(caller);
        let attributes = self.get_attributes(caller, node)?;
        let directory = attributes.kind == fuser::FileType::Directory;
        let wanted = super::open::wanted_by_mask(mask, directory);
        if wanted == 0 {
            return Ok(());
        }
        self.require(&caller.credential(), node, wanted, &patience)
            .map(drop)
    }
}

/// Something of NFS that may be left alone.
pub(crate) fn optional<T: nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(
    value: Option<T>,
) -> Nfs3Option<T> {
    value.map_or(Nfs3Option::None, Nfs3Option::Some)
}

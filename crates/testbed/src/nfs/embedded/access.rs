//! Who may do what: pure decisions from credentials and attributes.
//!
//! The rules are those of POSIX for owner, group and others. User 0 passes every check except for
//! execution of a file without any execute bit; `root_squash` takes that power away beforehand.

use nfs3_types::nfs3::{
    ACCESS3_DELETE, ACCESS3_EXECUTE, ACCESS3_EXTEND, ACCESS3_LOOKUP, ACCESS3_MODIFY, ACCESS3_READ,
    fattr3, ftype3,
};

/// User and group of callers without a name, as NFS servers have it.
pub(crate) const ANONYMOUS: u32 = 65534;

/// Permission to read a file or list a directory.
pub(crate) const READ: u32 = 0o4;
/// Permission to write a file or change a directory's entries.
pub(crate) const WRITE: u32 = 0o2;
/// Permission to execute a file or search a directory.
pub(crate) const EXECUTE: u32 = 0o1;

/// The sticky bit of a directory: entries belong to their owners.
const STICKY: u32 = 0o1000;
/// The set-user-id bit.
pub(crate) const SETUID: u32 = 0o4000;
/// The set-group-id bit; on a directory new entries inherit its group.
pub(crate) const SETGID: u32 = 0o2000;

/// The user, group and supplementary groups of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

impl Credentials {
    /// The caller without a name.
    pub(crate) fn anonymous() -> Self {
        Self {
            uid: ANONYMOUS,
            gid: ANONYMOUS,
            groups: Vec::new(),
        }
    }

    /// User 0 and group 0 become the anonymous ones.
    pub(crate) fn squashed(self) -> Self {
        let squash = |id: u32| if id == 0 { ANONYMOUS } else { id };
        Self {
            uid: squash(self.uid),
            gid: squash(self.gid),
            groups: self.groups.into_iter().map(squash).collect(),
        }
    }

    /// Whether this is user 0.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the caller is in `gid`, by its own group or a supplementary one.
    pub(crate) fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// Whether all permissions in `wanted` are granted on an object.
pub(crate) fn permitted(who: &Credentials, attributes: &fattr3, wanted: u32) -> bool {
    if who.is_root() {
        return wanted & EXECUTE == 0
            || attributes.type_ == ftype3::NF3DIR
            || attributes.mode & 0o111 != 0;
    }
    let granted = if attributes.uid == who.uid {
        attributes.mode >> 6
    } else if who.in_group(attributes.gid) {
        attributes.mode >> 3
    } else {
        attributes.mode
    };
    granted & wanted == wanted
}

/// Whether data may be read or written. The owner always may, since a client checks the mode when
/// it opens the file and not at every call; and what may be executed may be read (RFC 1813,
/// section 4.4).
pub(crate) fn data_permitted(who: &Credentials, attributes: &fattr3, wanted: u32) -> bool {
    attributes.uid == who.uid
        || permitted(who, attributes, wanted)
        || (wanted == READ && permitted(who, attributes, EXECUTE))
}

/// Whether an entry may be removed from, or renamed in, a sticky directory. Write permission on the
/// directory is checked apart.
pub(crate) fn sticky_allows(who: &Credentials, directory: &fattr3, entry: &fattr3) -> bool {
    directory.mode & STICKY == 0
        || who.is_root()
        || directory.uid == who.uid
        || entry.uid == who.uid
}

/// The bits of `asked` that ACCESS grants (RFC 1813, section 3.3.4).
pub(crate) fn access_bits(who: &Credentials, attributes: &fattr3, asked: u32) -> u32 {
    let directory = attributes.type_ == ftype3::NF3DIR;
    let (read, write, execute) = (
        permitted(who, attributes, READ),
        permitted(who, attributes, WRITE),
        permitted(who, attributes, EXECUTE),
    );
    let mut granted = 0;
    if read {
        granted |= ACCESS3_READ;
    }
    if directory {
        if execute {
            granted |= ACCESS3_LOOKUP;
        }
        if write && execute {
            granted |= ACCESS3_MODIFY | ACCESS3_EXTEND | ACCESS3_DELETE;
        }
    } else {
        if write {
            granted |= ACCESS3_MODIFY | ACCESS3_EXTEND;
        }
        if execute {
            granted |= ACCESS3_EXECUTE;
        }
    }
    granted & asked
}

/// Why a change of owner, group or mode is refused, if it is. `None` means "leave as it is".
pub(crate) fn may_change_owner(
    who: &Credentials,
    attributes: &fattr3,
    uid: Option<u32>,
    gid: Option<u32>,
) -> bool {
    if who.is_root() {
        return true;
    }
    let owner = attributes.uid == who.uid;
    let uid_allowed = uid.is_none_or(|uid| owner && uid == attributes.uid);
    let gid_allowed = gid.is_none_or(|gid| owner && (gid == attributes.gid || who.in_group(gid)));
    uid_allowed && gid_allowed
}

/// The mode that a change to `mode` really gives: a caller outside of the object's group can't
/// leave the set-group-id bit on a file (POSIX chmod).
pub(crate) fn granted_mode(who: &Credentials, kind: ftype3, gid: u32, mode: u32) -> u32 {
    let mode = mode & 0o7777;
    if who.is_root() || kind == ftype3::NF3DIR || who.in_group(gid) {
        mode
    } else {
        mode & !SETGID
    }
}

/// The mode after data was changed by someone other than user 0, if that takes set-id bits away.
pub(crate) fn mode_after_write(who: &Credentials, mode: u32) -> Option<u32> {
    let mut left = mode & !SETUID;
    if mode & 0o010 != 0 {
        left &= !SETGID;
    }
    (!who.is_root() && left != mode).then_some(left)
}

#[cfg(test)]
mod tests;

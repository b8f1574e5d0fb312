//! SETATTR, and the attributes given when an object is made.

use nfs3_types::nfs3::{
    Nfs3Option, Nfs3Result, SETATTR3args, SETATTR3res, SETATTR3resfail, SETATTR3resok, ftype3,
    nfsstat3, sattr3, set_atime, set_mtime,
};
use nix::fcntl::OFlag;

use super::transfer::{drop_set_id, require_data};
use crate::nfs::embedded::access::{self, Credentials, SETGID, SETUID};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::status::{Outcome, of_errno, of_io};

/// What an XDR option holds.
pub(crate) fn given<T: Copy + nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(
    option: &Nfs3Option<T>,
) -> Option<T> {
    match option {
        Nfs3Option::Some(value) => Some(*value),
        Nfs3Option::None => None,
    }
}

/// SETATTR (3.3.2).
pub(crate) fn setattr(fs: &FileSystem, who: &Credentials, args: &SETATTR3args) -> SETATTR3res {
    let _changing = fs.changing();
    let object = match fs.object(&args.object) {
        Ok(object) => object,
        Err(status) => return Nfs3Result::Err((status, SETATTR3resfail::default())),
    };
    let guarded = given(&args.guard).is_some_and(|ctime| ctime != object.attributes.ctime);
    let result = if guarded {
        Err(nfsstat3::NFS3ERR_NOT_SYNC)
    } else {
        check(who, &object, &args.new_attributes)
            .and_then(|()| apply(fs, who, &object, &args.new_attributes))
    };
    let obj_wcc = fs.wcc(&object);
    match result {
        Ok(()) => Nfs3Result::Ok(SETATTR3resok { obj_wcc }),
        Err(status) => Nfs3Result::Err((status, SETATTR3resfail { obj_wcc })),
    }
}

/// Everything is checked before anything is changed, so that a refusal changes nothing.
fn check(who: &Credentials, object: &Object, new: &sattr3) -> Outcome<()> {
    let attributes = &object.attributes;
    let owner = who.is_root() || who.uid == attributes.uid;
    if given(&new.mode).is_some() {
        if !owner {
            return Err(nfsstat3::NFS3ERR_PERM);
        }
        if attributes.type_ == ftype3::NF3LNK {
            return Err(nfsstat3::NFS3ERR_NOTSUPP);
        }
    }
    if !access::may_change_owner(who, attributes, given(&new.uid), given(&new.gid)) {
        return Err(nfsstat3::NFS3ERR_PERM);
    }
    if given(&new.size).is_some() {
        require_data(object)?;
        if !access::data_permitted(who, attributes, access::WRITE) {
            return Err(nfsstat3::NFS3ERR_ACCES);
        }
    }
    let chosen = matches!(new.atime, set_atime::SET_TO_CLIENT_TIME(_))
        || matches!(new.mtime, set_mtime::SET_TO_CLIENT_TIME(_));
    let touched = matches!(new.atime, set_atime::SET_TO_SERVER_TIME)
        || matches!(new.mtime, set_mtime::SET_TO_SERVER_TIME);
    if chosen && !owner {
        return Err(nfsstat3::NFS3ERR_PERM);
    }
    if touched && !owner && !access::permitted(who, attributes, access::WRITE) {
        return Err(nfsstat3::NFS3ERR_ACCES);
    }
    Ok(())
}

fn apply(fs: &FileSystem, who: &Credentials, object: &Object, new: &sattr3) -> Outcome<()> {
    if let Some(size) = given(&new.size) {
        truncate(fs, who, object, size)?;
    }
    let (uid, gid) = (given(&new.uid), given(&new.gid));
    let present = fs.refreshed(object)?;
    if uid.is_some() || gid.is_some() {
        fs.owners.set(&object.file, uid, gid).map_err(of_errno)?;
        // As chown(2) does; the mode, if one is given too, is set afterwards.
        let left = present.mode & !(SETUID | SETGID);
        if present.type_ == ftype3::NF3REG && left != present.mode {
            change_mode(fs, object, left)?;
        }
    }
    if let Some(mode) = given(&new.mode) {
        let group = gid.unwrap_or(present.gid);
        change_mode(
            fs,
            object,
            access::granted_mode(who, present.type_, group, mode),
        )?;
    }
    set_times(object, new)
}

fn change_mode(fs: &FileSystem, object: &Object, mode: u32) -> Outcome<()> {
    let _one_at_a_time = fs.override_lock();
    files::set_mode(&object.file, mode).map_err(of_errno)
}

fn set_times(object: &Object, new: &sattr3) -> Outcome<()> {
    if matches!(new.atime, set_atime::DONT_CHANGE) && matches!(new.mtime, set_mtime::DONT_CHANGE) {
        return Ok(());
    }
    files::set_times(&object.file, new.atime, new.mtime).map_err(of_errno)
}

/// Sets the size of a regular file, shorter or longer.
pub(crate) fn truncate(
    fs: &FileSystem,
    who: &Credentials,
    object: &Object,
    size: u64,
) -> Outcome<()> {
    if size > i64::MAX.unsigned_abs() {
        return Err(nfsstat3::NFS3ERR_FBIG);
    }
    let file = fs
        .as_owner(&[&object.file], || {
            files::reopen(&object.file, OFlag::O_WRONLY)
        })
        .map_err(of_errno)?;
    file.set_len(size).map_err(of_io)?;
    drop_set_id(fs, who, object)
}

/// Gives an object that was just made its owner, mode, size and times. The caller owns it; in a
/// set-group-id directory the directory's group does.
pub(crate) fn settle(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    object: &Object,
    new: &sattr3,
    default_mode: u32,
) -> Outcome<()> {
    let (uid, gid) = new_owner(who, directory, new);
    fs.owners
        .set(&object.file, Some(uid), Some(gid))
        .map_err(of_errno)?;
    let kind = object.attributes.type_;
    if kind != ftype3::NF3LNK {
        let mut mode =
            access::granted_mode(who, kind, gid, given(&new.mode).unwrap_or(default_mode));
        if kind == ftype3::NF3DIR {
            mode |= directory.attributes.mode & SETGID;
        }
        change_mode(fs, object, mode)?;
    }
    if let Some(size) = given(&new.size)
        && kind == ftype3::NF3REG
    {
        truncate(fs, who, object, size)?;
    }
    set_times(object, new)
}

fn new_owner(who: &Credentials, directory: &Object, new: &sattr3) -> (u32, u32) {
    let inherited = if directory.attributes.mode & SETGID == 0 {
        who.gid
    } else {
        directory.attributes.gid
    };
    (
        given(&new.uid).unwrap_or(who.uid),
        given(&new.gid).unwrap_or(inherited),
    )
}

/// Whether the caller may make an object with these attributes in the directory.
pub(crate) fn check_new(who: &Credentials, directory: &Object, new: &sattr3) -> Outcome<()> {
    let (uid, gid) = new_owner(who, directory, new);
    let group_fits = who.in_group(gid)
        || (directory.attributes.mode & SETGID != 0 && gid == directory.attributes.gid);
    if who.is_root() || (uid == who.uid && group_fits) {
        Ok(())
    } else {
        Err(nfsstat3::NFS3ERR_PERM)
    }
}

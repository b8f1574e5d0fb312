//! New objects: CREATE, MKDIR, SYMLINK, MKNOD.

use std::ffi::OsStr;

use nfs3_types::nfs3::{
    CREATE3args, CREATE3res, CREATE3resfail, CREATE3resok, MKDIR3args, MKDIR3res, MKDIR3resfail,
    MKDIR3resok, MKNOD3args, MKNOD3res, MKNOD3resfail, MKNOD3resok, Nfs3Option, Nfs3Result,
    SYMLINK3args, SYMLINK3res, SYMLINK3resfail, SYMLINK3resok, createhow3, ftype3, mknoddata3,
    nfsstat3, sattr3, wcc_data,
};
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use nix::unistd::UnlinkatFlags;

use super::set_attributes::{check_new, given, settle, truncate};
use crate::nfs::embedded::access::{self, Credentials};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::names::{self, TARGET_MAX};
use crate::nfs::embedded::status::{Outcome, of_errno};

/// Mode of a file whose creator gave none: an exclusive create sends it in a call of its own.
const FILE_MODE: u32 = 0o600;
/// Mode of a directory whose creator gave none.
const DIRECTORY_MODE: u32 = 0o755;

/// CREATE (3.3.8).
pub(crate) fn create(fs: &FileSystem, who: &Credentials, args: &CREATE3args<'_>) -> CREATE3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.where_.dir) {
        Ok(directory) => directory,
        Err(status) => return Nfs3Result::Err((status, CREATE3resfail::default())),
    };
    let made = names::entry(&args.where_.name, nfsstat3::NFS3ERR_EXIST)
        .and_then(|name| create_file(fs, who, &directory, name, &args.how));
    let dir_wcc = fs.wcc(&directory);
    match made {
        Ok(object) => Nfs3Result::Ok(CREATE3resok {
            obj: Nfs3Option::Some(fs.handles.encode(object.number)),
            obj_attributes: fs.after(&object),
            dir_wcc,
        }),
        Err(status) => Nfs3Result::Err((status, CREATE3resfail { dir_wcc })),
    }
}

fn create_file(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    name: &OsStr,
    how: &createhow3,
) -> Outcome<Object> {
    FileSystem::require(who, directory, access::EXECUTE)?;
    match fs.child(directory, name) {
        Ok(present) => return reuse(fs, who, present, how),
        Err(nfsstat3::NFS3ERR_NOENT) => {}
        Err(status) => return Err(status),
    }
    let none = sattr3::default();
    let new = match how {
        createhow3::UNCHECKED(new) | createhow3::GUARDED(new) => new,
        createhow3::EXCLUSIVE(_) => &none,
    };
    let object = make(fs, who, directory, name, new, FILE_MODE, || {
        files::create(&directory.file, name).map(drop)
    })?;
    if let createhow3::EXCLUSIVE(verifier) = how {
        fs.handles.set_exclusive(object.number, verifier.0);
    }
    Ok(object)
}

/// CREATE of a name that there is already.
fn reuse(fs: &FileSystem, who: &Credentials, present: Object, how: &createhow3) -> Outcome<Object> {
    match how {
        createhow3::GUARDED(_) => Err(nfsstat3::NFS3ERR_EXIST),
        // The same verifier means that the client did not see the first reply.
        createhow3::EXCLUSIVE(verifier) => {
            if fs.handles.exclusive(present.number) == Some(verifier.0) {
                Ok(present)
            } else {
                Err(nfsstat3::NFS3ERR_EXIST)
            }
        }
        createhow3::UNCHECKED(new) => {
            match present.attributes.type_ {
                ftype3::NF3REG => {}
                ftype3::NF3DIR => return Err(nfsstat3::NFS3ERR_ISDIR),
                _ => return Err(nfsstat3::NFS3ERR_EXIST),
            }
            if let Some(size) = given(&new.size) {
                // The client opens an existing file here, so the owner's mode bits count as well.
                FileSystem::require(who, &present, access::WRITE)?;
                truncate(fs, who, &present, size)?;
            }
            Ok(present)
        }
    }
}

/// Makes an object by `call` and settles its owner, mode and the rest; it is removed again when
/// that fails, so that a refused call leaves nothing behind.
fn make(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    name: &OsStr,
    new: &sattr3,
    default_mode: u32,
    call: impl Fn() -> nix::Result<()>,
) -> Outcome<Object> {
    FileSystem::require(who, directory, access::WRITE | access::EXECUTE).map_err(|status| {
        // What exists is told before what is forbidden, as a local mkdir does.
        if files::open_child(&directory.file, name).is_ok() {
            nfsstat3::NFS3ERR_EXIST
        } else {
            status
        }
    })?;
    check_new(who, directory, new)?;
    fs.as_owner(&[&directory.file], call)
        .map_err(|errno| match errno {
            // The directory was removed while its handle was held.
            Errno::ENOENT => nfsstat3::NFS3ERR_STALE,
            other => of_errno(other),
        })?;
    let object = fs.child(directory, name)?;
    if let Err(status) = settle(fs, who, directory, &object, new, default_mode) {
        let kind = if object.is_directory() {
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        if fs
            .as_owner(&[&directory.file], || {
                files::remove(&directory.file, name, kind)
            })
            .is_ok()
        {
            fs.forget_if_gone(&object);
        }
        return Err(status);
    }
    Ok(object)
}

/// MKDIR (3.3.9).
pub(crate) fn mkdir(fs: &FileSystem, who: &Credentials, args: &MKDIR3args<'_>) -> MKDIR3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.where_.dir) {
        Ok(directory) => directory,
        Err(status) => return Nfs3Result::Err((status, MKDIR3resfail::default())),
    };
    let made = names::entry(&args.where_.name, nfsstat3::NFS3ERR_EXIST).and_then(|name| {
        make(
            fs,
            who,
            &directory,
            name,
            &args.attributes,
            DIRECTORY_MODE,
            || files::make_directory(&directory.file, name),
        )
    });
    let dir_wcc = fs.wcc(&directory);
    match made {
        Ok(object) => Nfs3Result::Ok(MKDIR3resok {
            obj: Nfs3Option::Some(fs.handles.encode(object.number)),
            obj_attributes: fs.after(&object),
            dir_wcc,
        }),
        Err(status) => Nfs3Result::Err((status, MKDIR3resfail { dir_wcc })),
    }
}

/// SYMLINK (3.3.10). The target is data: it is stored as it is and never followed here.
pub(crate) fn symlink(fs: &FileSystem, who: &Credentials, args: &SYMLINK3args<'_>) -> SYMLINK3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.where_.dir) {
        Ok(directory) => directory,
        Err(status) => return Nfs3Result::Err((status, SYMLINK3resfail::default())),
    };
    let target = args.symlink.symlink_data.as_ref();
    let made = if target.is_empty() || target.contains(&0) {
        Err(nfsstat3::NFS3ERR_INVAL)
    } else if target.len() > TARGET_MAX {
        Err(nfsstat3::NFS3ERR_NAMETOOLONG)
    } else {
        names::entry(&args.where_.name, nfsstat3::NFS3ERR_EXIST).and_then(|name| {
            let new = &args.symlink.symlink_attributes;
            make(fs, who, &directory, name, new, 0o777, || {
                files::make_link(&directory.file, name, target)
            })
        })
    };
    let dir_wcc = fs.wcc(&directory);
    match made {
        Ok(object) => Nfs3Result::Ok(SYMLINK3resok {
            obj: Nfs3Option::Some(fs.handles.encode(object.number)),
            obj_attributes: fs.after(&object),
            dir_wcc,
        }),
        Err(status) => Nfs3Result::Err((status, SYMLINK3resfail { dir_wcc })),
    }
}

/// MKNOD (3.3.11) for FIFOs and sockets. Devices are `NFS3ERR_NOTSUPP`, as the RFC allows.
pub(crate) fn mknod(fs: &FileSystem, who: &Credentials, args: &MKNOD3args<'_>) -> MKNOD3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.where_.dir) {
        Ok(directory) => directory,
        Err(status) => {
            return Nfs3Result::Err((
                status,
                MKNOD3resfail {
                    dir_wcc: wcc_data::default(),
                },
            ));
        }
    };
    let what = match &args.what {
        mknoddata3::NF3FIFO(new) => Ok((SFlag::S_IFIFO, new)),
        mknoddata3::NF3SOCK(new) => Ok((SFlag::S_IFSOCK, new)),
        mknoddata3::NF3CHR(_) | mknoddata3::NF3BLK(_) => Err(nfsstat3::NFS3ERR_NOTSUPP),
        mknoddata3::default => Err(nfsstat3::NFS3ERR_BADTYPE),
    };
    let made = what.and_then(|(kind, new)| {
        let name = names::entry(&args.where_.name, nfsstat3::NFS3ERR_EXIST)?;
        make(fs, who, &directory, name, new, FILE_MODE, || {
            files::make_special(&directory.file, name, kind)
        })
    });
    let dir_wcc = fs.wcc(&directory);
    match made {
        Ok(object) => Nfs3Result::Ok(MKNOD3resok {
            obj: Nfs3Option::Some(fs.handles.encode(object.number)),
            obj_attributes: fs.after(&object),
            dir_wcc,
        }),
        Err(status) => Nfs3Result::Err((status, MKNOD3resfail { dir_wcc })),
    }
}

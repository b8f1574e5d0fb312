//! Names that go, move or come: REMOVE, RMDIR, RENAME, LINK.

use std::ffi::OsStr;

use nfs3_types::nfs3::{
    LINK3args, LINK3res, LINK3resfail, LINK3resok, Nfs3Option, Nfs3Result, REMOVE3args, REMOVE3res,
    REMOVE3resfail, REMOVE3resok, RENAME3args, RENAME3res, RENAME3resfail, RENAME3resok,
    RMDIR3args, RMDIR3res, RMDIR3resfail, RMDIR3resok, nfsstat3, wcc_data,
};
use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::unistd::UnlinkatFlags;

use crate::nfs::embedded::access::{self, Credentials};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::names;
use crate::nfs::embedded::status::{Outcome, of_errno};

/// An entry that the caller may take out of its directory.
fn removable(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    name: &OsStr,
) -> Outcome<Object> {
    FileSystem::require(who, directory, access::EXECUTE)?;
    let entry = fs.child(directory, name)?;
    FileSystem::require(who, directory, access::WRITE)?;
    if !access::sticky_allows(who, &directory.attributes, &entry.attributes) {
        return Err(nfsstat3::NFS3ERR_PERM);
    }
    Ok(entry)
}

/// REMOVE (3.3.12) of anything but a directory.
pub(crate) fn remove(fs: &FileSystem, who: &Credentials, args: &REMOVE3args<'_>) -> REMOVE3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.object.dir) {
        Ok(directory) => directory,
        Err(status) => return Nfs3Result::Err((status, REMOVE3resfail::default())),
    };
    let result = names::entry(&args.object.name, nfsstat3::NFS3ERR_INVAL)
        .and_then(|name| take_out(fs, who, &directory, name, UnlinkatFlags::NoRemoveDir));
    let dir_wcc = fs.wcc(&directory);
    match result {
        Ok(()) => Nfs3Result::Ok(REMOVE3resok { dir_wcc }),
        Err(status) => Nfs3Result::Err((status, REMOVE3resfail { dir_wcc })),
    }
}

/// RMDIR (3.3.13) of an empty directory.
pub(crate) fn rmdir(fs: &FileSystem, who: &Credentials, args: &RMDIR3args<'_>) -> RMDIR3res {
    let _changing = fs.changing();
    let directory = match fs.directory(&args.object.dir) {
        Ok(directory) => directory,
        Err(status) => {
            return Nfs3Result::Err((
                status,
                RMDIR3resfail {
                    dir_wcc: wcc_data::default(),
                },
            ));
        }
    };
    let reserved = if args.object.name.as_ref() == b".." {
        nfsstat3::NFS3ERR_EXIST
    } else {
        nfsstat3::NFS3ERR_INVAL
    };
    let result = names::entry(&args.object.name, reserved)
        .and_then(|name| take_out(fs, who, &directory, name, UnlinkatFlags::RemoveDir));
    let dir_wcc = fs.wcc(&directory);
    match result {
        Ok(()) => Nfs3Result::Ok(RMDIR3resok { dir_wcc }),
        Err(status) => Nfs3Result::Err((status, RMDIR3resfail { dir_wcc })),
    }
}

fn take_out(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    name: &OsStr,
    kind: UnlinkatFlags,
) -> Outcome<()> {
    let entry = removable(fs, who, directory, name)?;
    match (kind, entry.is_directory()) {
        (UnlinkatFlags::RemoveDir, false) => return Err(nfsstat3::NFS3ERR_NOTDIR),
        (UnlinkatFlags::NoRemoveDir, true) => return Err(nfsstat3::NFS3ERR_ISDIR),
        _ => {}
    }
    fs.as_owner(&[&directory.file], || {
        files::remove(&directory.file, name, kind)
    })
    .map_err(|errno| match errno {
        Errno::EEXIST => nfsstat3::NFS3ERR_NOTEMPTY,
        other => of_errno(other),
    })?;
    fs.forget_if_gone(&entry);
    Ok(())
}

/// RENAME (3.3.14), in one step as the file system does it.
pub(crate) fn rename(fs: &FileSystem, who: &Credentials, args: &RENAME3args<'_, '_>) -> RENAME3res {
    let _changing = fs.changing();
    let (from, to) = match (fs.directory(&args.from.dir), fs.directory(&args.to.dir)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(status), _) | (_, Err(status)) => {
            return Nfs3Result::Err((status, RENAME3resfail::default()));
        }
    };
    let result = move_entry(fs, who, args, &from, &to);
    let (fromdir_wcc, todir_wcc) = (fs.wcc(&from), fs.wcc(&to));
    match result {
        Ok(()) => Nfs3Result::Ok(RENAME3resok {
            fromdir_wcc,
            todir_wcc,
        }),
        Err(status) => Nfs3Result::Err((
            status,
            RENAME3resfail {
                fromdir_wcc,
                todir_wcc,
            },
        )),
    }
}

fn move_entry(
    fs: &FileSystem,
    who: &Credentials,
    args: &RENAME3args<'_, '_>,
    from: &Object,
    to: &Object,
) -> Outcome<()> {
    let old = names::entry(&args.from.name, nfsstat3::NFS3ERR_INVAL)?;
    let new = names::entry(&args.to.name, nfsstat3::NFS3ERR_INVAL)?;
    let moved = removable(fs, who, from, old)?;
    FileSystem::require(who, to, access::WRITE | access::EXECUTE)?;
    let replaced = match fs.child(to, new) {
        Ok(entry) => Some(entry),
        Err(nfsstat3::NFS3ERR_NOENT) => None,
        Err(status) => return Err(status),
    };
    if let Some(entry) = &replaced
        && !access::sticky_allows(who, &to.attributes, &entry.attributes)
    {
        return Err(nfsstat3::NFS3ERR_PERM);
    }
    // A directory that changes its parent has its `..` rewritten.
    if moved.is_directory() && from.number != to.number {
        FileSystem::require(who, &moved, access::WRITE)?;
    }
    fs.as_owner(&[&from.file, &to.file, &moved.file], || {
        renameat(&*from.file, old, &*to.file, new)
    })
    .map_err(|errno| match errno {
        Errno::EEXIST => nfsstat3::NFS3ERR_NOTEMPTY,
        other => of_errno(other),
    })?;
    // Two names of one object stay as they are; that is what POSIX has.
    if replaced
        .as_ref()
        .is_some_and(|entry| entry.number == moved.number)
    {
        return Ok(());
    }
    fs.handles.moved(moved.number, to.number, new);
    if let Some(entry) = &replaced {
        fs.forget_if_gone(entry);
    }
    Ok(())
}

/// LINK (3.3.15).
pub(crate) fn link(fs: &FileSystem, who: &Credentials, args: &LINK3args<'_>) -> LINK3res {
    let _changing = fs.changing();
    let (file, directory) = match (fs.object(&args.file), fs.directory(&args.link.dir)) {
        (Ok(file), Ok(directory)) => (file, directory),
        (Err(status), _) | (_, Err(status)) => {
            return Nfs3Result::Err((
                status,
                LINK3resfail {
                    file_attributes: Nfs3Option::None,
                    linkdir_wcc: wcc_data::default(),
                },
            ));
        }
    };
    let result = add_name(fs, who, args, &file, &directory);
    let file_attributes = fs.after(&file);
    let linkdir_wcc = fs.wcc(&directory);
    match result {
        Ok(()) => Nfs3Result::Ok(LINK3resok {
            file_attributes,
            linkdir_wcc,
        }),
        Err(status) => Nfs3Result::Err((
            status,
            LINK3resfail {
                file_attributes,
                linkdir_wcc,
            },
        )),
    }
}

fn add_name(
    fs: &FileSystem,
    who: &Credentials,
    args: &LINK3args<'_>,
    file: &Object,
    directory: &Object,
) -> Outcome<()> {
    let name = names::entry(&args.link.name, nfsstat3::NFS3ERR_EXIST)?;
    if file.is_directory() {
        return Err(nfsstat3::NFS3ERR_ISDIR);
    }
    FileSystem::require(who, directory, access::WRITE | access::EXECUTE)?;
    fs.as_owner(&[&directory.file], || {
        files::hard_link(&file.file, &directory.file, name)
    })
    .map_err(|errno| match errno {
        // The last name went while the handle was held.
        Errno::ENOENT => nfsstat3::NFS3ERR_STALE,
        other => of_errno(other),
    })
}

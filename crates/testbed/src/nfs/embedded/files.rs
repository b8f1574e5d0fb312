//! System calls on objects held by `O_PATH` descriptors.
//!
//! Nothing here follows a symbolic link or takes a path of more than one component. Calls that
//! refuse an `O_PATH` descriptor go through its name in `/proc/self/fd`, which leads to that very
//! object and nowhere else.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nfs3_types::nfs3::{nfstime3, set_atime, set_mtime};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

/// The name under which the kernel leads to an open object.
pub(crate) fn magic_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// An object of a directory, whatever it is; a symbolic link itself.
pub(crate) fn open_child(directory: &File, name: &OsStr) -> nix::Result<File> {
    openat(
        directory,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map(File::from)
}

/// A regular file for reading or writing. Only for what is known to be one: a device would act.
pub(crate) fn reopen(file: &File, flags: OFlag) -> nix::Result<File> {
    open(
        &magic_path(file),
        flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
        Mode::empty(),
    )
    .map(File::from)
}

/// A new regular file, open for writing, that only this process may use for now.
pub(crate) fn create(directory: &File, name: &OsStr) -> nix::Result<File> {
    openat(
        directory,
        name,
        OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::from_bits_truncate(0o600),
    )
    .map(File::from)
}

/// A new directory that only this process may use for now.
pub(crate) fn make_directory(directory: &File, name: &OsStr) -> nix::Result<()> {
    mkdirat(directory, name, Mode::from_bits_truncate(0o700))
}

/// A new symbolic link.
pub(crate) fn make_link(directory: &File, name: &OsStr, target: &[u8]) -> nix::Result<()> {
    symlinkat(OsStr::from_bytes(target), directory, name)
}

/// A new FIFO or socket.
pub(crate) fn make_special(directory: &File, name: &OsStr, kind: SFlag) -> nix::Result<()> {
    mknodat(directory, name, kind, Mode::from_bits_truncate(0o600), 0)
}

/// Another name for an object that is not a directory.
pub(crate) fn hard_link(file: &File, directory: &File, name: &OsStr) -> nix::Result<()> {
    linkat(
        AT_FDCWD,
        &magic_path(file),
        directory,
        name,
        AtFlags::AT_SYMLINK_FOLLOW,
    )
}

/// Removes a name; `kind` says whether it must be a directory's.
pub(crate) fn remove(directory: &File, name: &OsStr, kind: UnlinkatFlags) -> nix::Result<()> {
    unlinkat(directory, name, kind)
}

/// The target of a symbolic link.
pub(crate) fn read_link(link: &File) -> nix::Result<OsString> {
    readlinkat(link, "")
}

/// Sets exactly these permission bits, whatever the process's umask.
pub(crate) fn set_mode(file: &File, mode: u32) -> nix::Result<()> {
    let mode = Mode::from_bits_truncate(mode & 0o7777);
    match fchmod(file, mode) {
        // An `O_PATH` descriptor.
        Err(Errno::EBADF) => fchmodat(
            AT_FDCWD,
            &magic_path(file),
            mode,
            FchmodatFlags::FollowSymlink,
        ),
        result => result,
    }
}

/// Gives an object away on the file system; a link itself.
pub(crate) fn set_owner(file: &File, uid: Option<u32>, gid: Option<u32>) -> nix::Result<()> {
    fchownat(
        file,
        "",
        uid.map(Uid::from_raw),
        gid.map(Gid::from_raw),
        AtFlags::AT_EMPTY_PATH,
    )
}

/// Sets the times; a link's own.
pub(crate) fn set_times(file: &File, atime: set_atime, mtime: set_mtime) -> nix::Result<()> {
    let given = |time: nfstime3| TimeSpec::new(i64::from(time.seconds), i64::from(time.nseconds));
    let atime = match atime {
        set_atime::DONT_CHANGE => TimeSpec::UTIME_OMIT,
        set_atime::SET_TO_SERVER_TIME => TimeSpec::UTIME_NOW,
        set_atime::SET_TO_CLIENT_TIME(time) => given(time),
    };
    let mtime = match mtime {
        set_mtime::DONT_CHANGE => TimeSpec::UTIME_OMIT,
        set_mtime::SET_TO_SERVER_TIME => TimeSpec::UTIME_NOW,
        set_mtime::SET_TO_CLIENT_TIME(time) => given(time),
    };
    utimensat(
        AT_FDCWD,
        &magic_path(file),
        &atime,
        &mtime,
        UtimensatFlags::FollowSymlink,
    )
}

/// The entries of a directory without `.` and `..`, in no order: inode number and name.
pub(crate) fn entries(directory: &File) -> nix::Result<Vec<(u64, Vec<u8>)>> {
    let mut listing = Dir::openat(
        directory.as_fd(),
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let mut found = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push((entry.ino(), name.to_vec()));
        }
    }
    Ok(found)
}

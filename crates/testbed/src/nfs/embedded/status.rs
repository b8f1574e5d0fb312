//! What a failed system call becomes on the wire (RFC 1813, section 2.6).

use std::io;

use nfs3_types::nfs3::nfsstat3;
use nix::errno::Errno;

/// The result of a step of a procedure; the error is the status that the client sees.
pub(crate) type Outcome<T> = Result<T, nfsstat3>;

/// The NFS status for a system error. What the protocol has no word for is `NFS3ERR_IO`.
pub(crate) fn of_errno(errno: Errno) -> nfsstat3 {
    match errno {
        Errno::EPERM => nfsstat3::NFS3ERR_PERM,
        Errno::ENOENT => nfsstat3::NFS3ERR_NOENT,
        Errno::ENXIO => nfsstat3::NFS3ERR_NXIO,
        Errno::EACCES => nfsstat3::NFS3ERR_ACCES,
        Errno::EEXIST => nfsstat3::NFS3ERR_EXIST,
        Errno::EXDEV => nfsstat3::NFS3ERR_XDEV,
        Errno::ENODEV => nfsstat3::NFS3ERR_NODEV,
        Errno::ENOTDIR => nfsstat3::NFS3ERR_NOTDIR,
        Errno::EISDIR => nfsstat3::NFS3ERR_ISDIR,
        // A path component that is a link where none is followed.
        Errno::EINVAL | Errno::ELOOP => nfsstat3::NFS3ERR_INVAL,
        Errno::EFBIG => nfsstat3::NFS3ERR_FBIG,
        Errno::ENOSPC => nfsstat3::NFS3ERR_NOSPC,
        Errno::EROFS => nfsstat3::NFS3ERR_ROFS,
        Errno::EMLINK => nfsstat3::NFS3ERR_MLINK,
        Errno::ENAMETOOLONG => nfsstat3::NFS3ERR_NAMETOOLONG,
        Errno::ENOTEMPTY => nfsstat3::NFS3ERR_NOTEMPTY,
        Errno::EDQUOT => nfsstat3::NFS3ERR_DQUOT,
        Errno::ESTALE => nfsstat3::NFS3ERR_STALE,
        Errno::EOPNOTSUPP => nfsstat3::NFS3ERR_NOTSUPP,
        // The client is asked to come again: descriptors or memory ran short.
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => nfsstat3::NFS3ERR_JUKEBOX,
        _ => nfsstat3::NFS3ERR_IO,
    }
}

/// The NFS status for an error of the standard library.
#[expect(
    clippy::needless_pass_by_value,
    reason = "used as the argument of map_err"
)]
pub(crate) fn of_io(error: io::Error) -> nfsstat3 {
    error
        .raw_os_error()
        .map_or(nfsstat3::NFS3ERR_IO, |code| of_errno(Errno::from_raw(code)))
}

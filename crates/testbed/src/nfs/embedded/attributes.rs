//! Attributes of files as the protocol has them (RFC 1813, sections 2.5 and 2.6).

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nfs3_types::nfs3::{fattr3, ftype3, nfstime3, specdata3, wcc_attr};

/// A time of the file system. The wire has unsigned seconds, so what was before 1970 is 1970.
pub(crate) fn time(seconds: i64, nanoseconds: i64) -> nfstime3 {
    nfstime3 {
        seconds: u32::try_from(seconds.max(0)).unwrap_or(u32::MAX),
        nseconds: u32::try_from(nanoseconds).unwrap_or(0),
    }
}

/// The kind of an object.
pub(crate) fn kind(metadata: &Metadata) -> ftype3 {
    let kind = metadata.file_type();
    if kind.is_dir() {
        ftype3::NF3DIR
    } else if kind.is_symlink() {
        ftype3::NF3LNK
    } else if kind.is_fifo() {
        ftype3::NF3FIFO
    } else if kind.is_socket() {
        ftype3::NF3SOCK
    } else if kind.is_block_device() {
        ftype3::NF3BLK
    } else if kind.is_char_device() {
        ftype3::NF3CHR
    } else {
        ftype3::NF3REG
    }
}

/// Attributes from what the file system says, with the owner that the export reports.
pub(crate) fn attributes(metadata: &Metadata, (uid, gid): (u32, u32)) -> fattr3 {
    let device = metadata.rdev();
    fattr3 {
        type_: kind(metadata),
        mode: metadata.mode() & 0o7777,
        nlink: u32::try_from(metadata.nlink()).unwrap_or(u32::MAX),
        uid,
        gid,
        size: metadata.size(),
        // The file system counts in units of 512 bytes whatever its block size.
        used: metadata.blocks().saturating_mul(512),
        rdev: specdata3 {
            specdata1: u32::try_from((device >> 8) & 0xfff).unwrap_or(0),
            specdata2: u32::try_from((device & 0xff) | ((device >> 12) & 0xfff_ff00)).unwrap_or(0),
        },
        fsid: metadata.dev(),
        fileid: metadata.ino(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The part of the attributes that tells a client whether its cache was current.
pub(crate) fn before(attributes: &fattr3) -> wcc_attr {
    wcc_attr {
        size: attributes.size,
        mtime: attributes.mtime,
        ctime: attributes.ctime,
    }
}

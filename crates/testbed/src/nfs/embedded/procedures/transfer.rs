//! Data of regular files: READ, WRITE, COMMIT.

use std::os::unix::fs::FileExt;

use nfs3_types::nfs3::{
    COMMIT3args, COMMIT3res, COMMIT3resfail, COMMIT3resok, Nfs3Option, Nfs3Result, READ3args,
    READ3res, READ3resfail, READ3resok, WRITE3args, WRITE3res, WRITE3resfail, WRITE3resok, ftype3,
    nfsstat3, stable_how, wcc_data,
};
use nfs3_types::xdr_codec::Opaque;
use nix::fcntl::OFlag;

use crate::nfs::embedded::access::{self, Credentials};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::record::TRANSFER_MAX;
use crate::nfs::embedded::status::{Outcome, of_errno, of_io};

/// Only regular files have data; the status tells what it is instead.
pub(crate) fn require_data(object: &Object) -> Outcome<()> {
    match object.attributes.type_ {
        ftype3::NF3REG => Ok(()),
        ftype3::NF3DIR => Err(nfsstat3::NFS3ERR_ISDIR),
        _ => Err(nfsstat3::NFS3ERR_INVAL),
    }
}

/// READ (3.3.6).
pub(crate) fn read(fs: &FileSystem, who: &Credentials, args: &READ3args) -> READ3res<'static> {
    let object = match fs.object(&args.file) {
        Ok(object) => object,
        Err(status) => return Nfs3Result::Err((status, READ3resfail::default())),
    };
    match read_from(fs, who, &object, args) {
        Ok((data, eof)) => Nfs3Result::Ok(READ3resok {
            file_attributes: fs.after(&object),
            count: u32::try_from(data.len()).unwrap_or(u32::MAX),
            eof,
            data: Opaque::owned(data),
        }),
        Err(status) => Nfs3Result::Err((
            status,
            READ3resfail {
                file_attributes: Nfs3Option::Some(object.attributes),
            },
        )),
    }
}

fn read_from(
    fs: &FileSystem,
    who: &Credentials,
    object: &Object,
    args: &READ3args,
) -> Outcome<(Vec<u8>, bool)> {
    require_data(object)?;
    if !access::data_permitted(who, &object.attributes, access::READ) {
        return Err(nfsstat3::NFS3ERR_ACCES);
    }
    let size = object.attributes.size;
    if args.offset >= size {
        return Ok((Vec::new(), true));
    }
    let file = fs
        .as_owner(&[&object.file], || {
            files::reopen(&object.file, OFlag::O_RDONLY)
        })
        .map_err(of_errno)?;
    let left = usize::try_from(size - args.offset).unwrap_or(usize::MAX);
    let wanted = left.min(args.count.min(TRANSFER_MAX) as usize);
    let mut data = vec![0; wanted];
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut data[filled..], args.offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(of_io(error)),
        }
    }
    data.truncate(filled);
    let end = args.offset + filled as u64;
    let eof = file.metadata().map_err(of_io)?.len() <= end;
    Ok((data, eof))
}

/// WRITE (3.3.7). What the client asks to be stable is on disk before the reply.
pub(crate) fn write(fs: &FileSystem, who: &Credentials, args: &WRITE3args<'_>) -> WRITE3res {
    let object = match fs.object(&args.file) {
        Ok(object) => object,
        Err(status) => return Nfs3Result::Err((status, WRITE3resfail::default())),
    };
    match write_to(fs, who, &object, args) {
        Ok(count) => Nfs3Result::Ok(WRITE3resok {
            file_wcc: fs.wcc(&object),
            count,
            committed: args.stable,
            verf: fs.write_verifier,
        }),
        Err(status) => Nfs3Result::Err((
            status,
            WRITE3resfail {
                file_wcc: fs.wcc(&object),
            },
        )),
    }
}

fn write_to(
    fs: &FileSystem,
    who: &Credentials,
    object: &Object,
    args: &WRITE3args<'_>,
) -> Outcome<u32> {
    require_data(object)?;
    if !access::data_permitted(who, &object.attributes, access::WRITE) {
        return Err(nfsstat3::NFS3ERR_ACCES);
    }
    let data = args.data.as_ref();
    let wanted = args.count as usize;
    if wanted > data.len() {
        return Err(nfsstat3::NFS3ERR_INVAL);
    }
    if args
        .offset
        .checked_add(u64::from(args.count))
        .is_none_or(|end| end > i64::MAX.unsigned_abs())
    {
        return Err(nfsstat3::NFS3ERR_FBIG);
    }
    let file = fs
        .as_owner(&[&object.file], || {
            files::reopen(&object.file, OFlag::O_WRONLY)
        })
        .map_err(of_errno)?;
    file.write_all_at(&data[..wanted], args.offset)
        .map_err(of_io)?;
    drop_set_id(fs, who, object)?;
    match args.stable {
        _ if !fs.durable => {}
        stable_how::UNSTABLE => {}
        stable_how::DATA_SYNC => file.sync_data().map_err(of_io)?,
        stable_how::FILE_SYNC => file.sync_all().map_err(of_io)?,
    }
    Ok(args.count)
}

/// Takes set-id bits away after a change of data, which a local kernel would do for the writer.
pub(crate) fn drop_set_id(fs: &FileSystem, who: &Credentials, object: &Object) -> Outcome<()> {
    match access::mode_after_write(who, object.attributes.mode) {
        Some(mode) => {
            let _one_at_a_time = fs.override_lock();
            files::set_mode(&object.file, mode).map_err(of_errno)
        }
        None => Ok(()),
    }
}

/// COMMIT (3.3.21): the whole file is synced, whatever the range.
pub(crate) fn commit(fs: &FileSystem, who: &Credentials, args: &COMMIT3args) -> COMMIT3res {
    let object = match fs.object(&args.file) {
        Ok(object) => object,
        Err(status) => {
            return Nfs3Result::Err((
                status,
                COMMIT3resfail {
                    file_wcc: wcc_data::default(),
                },
            ));
        }
    };
    match sync(fs, who, &object) {
        Ok(()) => Nfs3Result::Ok(COMMIT3resok {
            file_wcc: fs.wcc(&object),
            verf: fs.write_verifier,
        }),
        Err(status) => Nfs3Result::Err((
            status,
            COMMIT3resfail {
                file_wcc: fs.wcc(&object),
            },
        )),
    }
}

fn sync(fs: &FileSystem, who: &Credentials, object: &Object) -> Outcome<()> {
    require_data(object)?;
    if !access::data_permitted(who, &object.attributes, access::WRITE) {
        return Err(nfsstat3::NFS3ERR_ACCES);
    }
    if !fs.durable {
        return Ok(());
    }
    let file = fs
        .as_owner(&[&object.file], || {
            files::reopen(&object.file, OFlag::O_WRONLY)
        })
        .map_err(of_errno)?;
    file.sync_all().map_err(of_io)
}

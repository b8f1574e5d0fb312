//! What leaves the export as it is: GETATTR, LOOKUP, ACCESS, READLINK, FSSTAT, FSINFO, PATHCONF.

use std::os::unix::ffi::OsStrExt;

use nfs3_types::nfs3::{
    ACCESS3args, ACCESS3res, ACCESS3resfail, ACCESS3resok, FSF3_CANSETTIME, FSF3_HOMOGENEOUS,
    FSF3_LINK, FSF3_SYMLINK, FSINFO3args, FSINFO3res, FSINFO3resfail, FSINFO3resok, FSSTAT3args,
    FSSTAT3res, FSSTAT3resfail, FSSTAT3resok, GETATTR3args, GETATTR3res, GETATTR3resok,
    LOOKUP3args, LOOKUP3res, LOOKUP3resfail, LOOKUP3resok, Nfs3Option, Nfs3Result, PATHCONF3args,
    PATHCONF3res, PATHCONF3resfail, PATHCONF3resok, READLINK3args, READLINK3res, READLINK3resfail,
    READLINK3resok, ftype3, nfspath3, nfsstat3, nfstime3,
};
use nfs3_types::xdr_codec::Void;
use nix::sys::statvfs::fstatvfs;

use crate::nfs::embedded::access::{self, Credentials};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::handles::ROOT;
use crate::nfs::embedded::names::{self, NAME_MAX};
use crate::nfs::embedded::record::TRANSFER_MAX;
use crate::nfs::embedded::status::{Outcome, of_errno};

/// GETATTR (3.3.1).
pub(crate) fn getattr(fs: &FileSystem, args: &GETATTR3args) -> GETATTR3res {
    match fs.object(&args.object) {
        Ok(object) => Nfs3Result::Ok(GETATTR3resok {
            obj_attributes: object.attributes,
        }),
        Err(status) => Nfs3Result::Err((status, Void)),
    }
}

/// LOOKUP (3.3.3). `..` of the root is the root.
pub(crate) fn lookup(fs: &FileSystem, who: &Credentials, args: &LOOKUP3args<'_>) -> LOOKUP3res {
    let directory = match fs.directory(&args.what.dir) {
        Ok(directory) => directory,
        Err(status) => return Nfs3Result::Err((status, LOOKUP3resfail::default())),
    };
    match find(fs, who, &directory, args) {
        Ok(found) => Nfs3Result::Ok(LOOKUP3resok {
            object: fs.handles.encode(found.number),
            obj_attributes: Nfs3Option::Some(found.attributes),
            dir_attributes: Nfs3Option::Some(directory.attributes),
        }),
        Err(status) => Nfs3Result::Err((
            status,
            LOOKUP3resfail {
                dir_attributes: Nfs3Option::Some(directory.attributes),
            },
        )),
    }
}

fn find(
    fs: &FileSystem,
    who: &Credentials,
    directory: &Object,
    args: &LOOKUP3args<'_>,
) -> Outcome<Object> {
    FileSystem::require(who, directory, access::EXECUTE)?;
    let name = names::looked_up(&args.what.name)?;
    if name == "." || (name == ".." && directory.number == ROOT) {
        return Ok(directory.clone());
    }
    if name == ".." {
        return parent(fs, directory);
    }
    fs.child(directory, name)
}

/// The directory above one that is not the root.
pub(crate) fn parent(fs: &FileSystem, directory: &Object) -> Outcome<Object> {
    let above = fs
        .as_owner(&[&directory.file], || {
            files::open_child(&directory.file, "..".as_ref())
        })
        .map_err(of_errno)?;
    // Resolving the handle has shown that the directory is below the root.
    fs.adopt(above, None)
}

/// ACCESS (3.3.4).
pub(crate) fn access(fs: &FileSystem, who: &Credentials, args: &ACCESS3args) -> ACCESS3res {
    match fs.object(&args.object) {
        Ok(object) => Nfs3Result::Ok(ACCESS3resok {
            access: access::access_bits(who, &object.attributes, args.access),
            obj_attributes: Nfs3Option::Some(object.attributes),
        }),
        Err(status) => Nfs3Result::Err((status, ACCESS3resfail::default())),
    }
}

/// READLINK (3.3.5).
pub(crate) fn readlink(fs: &FileSystem, args: &READLINK3args) -> READLINK3res<'static> {
    let link = match fs.object(&args.symlink) {
        Ok(link) => link,
        Err(status) => return Nfs3Result::Err((status, READLINK3resfail::default())),
    };
    let target = if link.attributes.type_ == ftype3::NF3LNK {
        files::read_link(&link.file).map_err(of_errno)
    } else {
        Err(nfsstat3::NFS3ERR_INVAL)
    };
    let symlink_attributes = Nfs3Option::Some(link.attributes);
    match target {
        Ok(target) => Nfs3Result::Ok(READLINK3resok {
            symlink_attributes,
            data: nfspath3::from(target.as_bytes().to_vec()),
        }),
        Err(status) => Nfs3Result::Err((status, READLINK3resfail { symlink_attributes })),
    }
}

/// FSSTAT (3.3.18).
pub(crate) fn fsstat(fs: &FileSystem, args: &FSSTAT3args) -> FSSTAT3res {
    let object = match fs.object(&args.fsroot) {
        Ok(object) => object,
        Err(status) => return Nfs3Result::Err((status, FSSTAT3resfail::default())),
    };
    let obj_attributes = Nfs3Option::Some(object.attributes);
    match fstatvfs(&*object.file) {
        Ok(space) => {
            let unit = space.fragment_size();
            Nfs3Result::Ok(FSSTAT3resok {
                obj_attributes,
                tbytes: space.blocks().saturating_mul(unit),
                fbytes: space.blocks_free().saturating_mul(unit),
                abytes: space.blocks_available().saturating_mul(unit),
                tfiles: space.files(),
                ffiles: space.files_free(),
                afiles: space.files_available(),
                // The figures may change at any time.
                invarsec: 0,
            })
        }
        Err(errno) => Nfs3Result::Err((of_errno(errno), FSSTAT3resfail { obj_attributes })),
    }
}

/// FSINFO (3.3.19).
pub(crate) fn fsinfo(fs: &FileSystem, args: &FSINFO3args) -> FSINFO3res {
    match fs.object(&args.fsroot) {
        Ok(object) => Nfs3Result::Ok(FSINFO3resok {
            obj_attributes: Nfs3Option::Some(object.attributes),
            rtmax: TRANSFER_MAX,
            rtpref: TRANSFER_MAX,
            rtmult: 4096,
            wtmax: TRANSFER_MAX,
            wtpref: TRANSFER_MAX,
            wtmult: 4096,
            dtpref: 64 * 1024,
            maxfilesize: i64::MAX.unsigned_abs(),
            time_delta: nfstime3 {
                seconds: 0,
                nseconds: 1,
            },
            properties: FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME,
        }),
        Err(status) => Nfs3Result::Err((status, FSINFO3resfail::default())),
    }
}

/// PATHCONF (3.3.20).
pub(crate) fn pathconf(fs: &FileSystem, args: &PATHCONF3args) -> PATHCONF3res {
    match fs.object(&args.object) {
        Ok(object) => Nfs3Result::Ok(PATHCONF3resok {
            obj_attributes: Nfs3Option::Some(object.attributes),
            // What Linux file systems agree on at least; the file system has the last word.
            linkmax: 127,
            name_max: u32::try_from(NAME_MAX).unwrap_or(u32::MAX),
            no_trunc: true,
            chown_restricted: true,
            case_insensitive: false,
            case_preserving: true,
        }),
        Err(status) => Nfs3Result::Err((status, PATHCONF3resfail::default())),
    }
}

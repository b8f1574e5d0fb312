//! READDIR and READDIRPLUS.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nfs3_types::nfs3::{
    Nfs3Option, Nfs3Result, READDIR3args, READDIR3res, READDIR3resfail, READDIR3resok,
    READDIRPLUS3args, READDIRPLUS3res, READDIRPLUS3resfail, READDIRPLUS3resok, cookieverf3,
    dirlist3, dirlistplus3, entry3, entryplus3, filename3, nfsstat3,
};
use nfs3_types::xdr_codec::{List, Pack};

use super::inspect::parent;
use crate::nfs::embedded::access::{self, Credentials};
use crate::nfs::embedded::directory::{self, PARENT, Positioned, SELF, START};
use crate::nfs::embedded::files;
use crate::nfs::embedded::filesystem::{FileSystem, Object};
use crate::nfs::embedded::handles::ROOT;
use crate::nfs::embedded::record::TRANSFER_MAX;
use crate::nfs::embedded::status::{Outcome, of_errno};

/// Status, attributes of the directory, verifier, end of list and end marker.
const REPLY_FIXED: usize = 4 + 88 + 8 + 4 + 4;

/// READDIR (3.3.16).
pub(crate) fn readdir(
    fs: &FileSystem,
    who: &Credentials,
    args: &READDIR3args,
) -> READDIR3res<'static> {
    let dir = match fs.directory(&args.dir) {
        Ok(dir) => dir,
        Err(status) => return Nfs3Result::Err((status, READDIR3resfail::default())),
    };
    let listed = entries(fs, who, &dir, args.cookie, args.cookieverf).and_then(|entries| {
        let limit = limit(args.count)?;
        page(&entries, limit, |entry| {
            let entry = entry3 {
                fileid: entry.inode,
                name: filename3::from(entry.name.clone()),
                cookie: entry.cookie,
            };
            // The marker that another entry follows is part of its size.
            let size = entry.packed_size() + 4;
            Ok((entry, size))
        })
    });
    let dir_attributes = fs.after(&dir);
    match listed {
        Ok((entries, eof)) => Nfs3Result::Ok(READDIR3resok {
            dir_attributes,
            cookieverf: fs.cookie_verifier,
            reply: dirlist3 {
                entries: List(entries),
                eof,
            },
        }),
        Err(status) => Nfs3Result::Err((status, READDIR3resfail { dir_attributes })),
    }
}

/// READDIRPLUS (3.3.17). Without search permission on the directory there are names only.
pub(crate) fn readdirplus(
    fs: &FileSystem,
    who: &Credentials,
    args: &READDIRPLUS3args,
) -> READDIRPLUS3res<'static> {
    let dir = match fs.directory(&args.dir) {
        Ok(dir) => dir,
        Err(status) => return Nfs3Result::Err((status, READDIRPLUS3resfail::default())),
    };
    let searchable = access::permitted(who, &dir.attributes, access::EXECUTE);
    let listed = entries(fs, who, &dir, args.cookie, args.cookieverf).and_then(|entries| {
        let limit = limit(args.maxcount)?;
        page(&entries, limit, |entry| {
            let found = if searchable {
                look(fs, &dir, entry)
            } else {
                None
            };
            let (name_attributes, name_handle) = match found {
                Some(object) => (
                    Nfs3Option::Some(object.attributes),
                    Nfs3Option::Some(fs.handles.encode(object.number)),
                ),
                None => (Nfs3Option::None, Nfs3Option::None),
            };
            let entry = entryplus3 {
                fileid: entry.inode,
                name: filename3::from(entry.name.clone()),
                cookie: entry.cookie,
                name_attributes,
                name_handle,
            };
            let size = entry.packed_size() + 4;
            Ok((entry, size))
        })
    });
    let dir_attributes = fs.after(&dir);
    match listed {
        Ok((entries, eof)) => Nfs3Result::Ok(READDIRPLUS3resok {
            dir_attributes,
            cookieverf: fs.cookie_verifier,
            reply: dirlistplus3 {
                entries: List(entries),
                eof,
            },
        }),
        Err(status) => Nfs3Result::Err((status, READDIRPLUS3resfail { dir_attributes })),
    }
}

/// The object of an entry; `None` when it went in the meantime.
fn look(fs: &FileSystem, dir: &Object, entry: &Positioned) -> Option<Object> {
    match entry.cookie {
        SELF => Some(dir.clone()),
        PARENT if dir.number == ROOT => Some(dir.clone()),
        PARENT => parent(fs, dir).ok(),
        _ => fs.child(dir, OsStr::from_bytes(&entry.name)).ok(),
    }
}

/// How many bytes the reply may have.
fn limit(count: u32) -> Outcome<usize> {
    (count.min(TRANSFER_MAX) as usize)
        .checked_sub(REPLY_FIXED)
        .ok_or(nfsstat3::NFS3ERR_TOOSMALL)
}

/// Everything after a position, the two dot entries first.
fn entries(
    fs: &FileSystem,
    who: &Credentials,
    dir: &Object,
    cookie: u64,
    verifier: cookieverf3,
) -> Outcome<Vec<Positioned>> {
    FileSystem::require(who, dir, access::READ)?;
    if cookie != START && verifier != fs.cookie_verifier {
        return Err(nfsstat3::NFS3ERR_BAD_COOKIE);
    }
    let found = fs
        .as_owner(&[&dir.file], || files::entries(&dir.file))
        .map_err(of_errno)?;
    let mut listed = Vec::with_capacity(found.len() + 2);
    if cookie < SELF {
        listed.push(Positioned {
            cookie: SELF,
            inode: dir.attributes.fileid,
            name: b".".to_vec(),
        });
    }
    if cookie < PARENT {
        let inode = if dir.number == ROOT {
            dir.attributes.fileid
        } else {
            parent(fs, dir)?.attributes.fileid
        };
        listed.push(Positioned {
            cookie: PARENT,
            inode,
            name: b"..".to_vec(),
        });
    }
    listed.extend(directory::after(found, cookie));
    Ok(listed)
}

/// As many entries as fit into `limit` bytes, and whether they are the last.
fn page<E>(
    entries: &[Positioned],
    limit: usize,
    mut encode: impl FnMut(&Positioned) -> Outcome<(E, usize)>,
) -> Outcome<(Vec<E>, bool)> {
    let mut encoded = Vec::new();
    let mut size = 0;
    for (index, entry) in entries.iter().enumerate() {
        let (item, bytes) = encode(entry)?;
        size += bytes;
        if size > limit {
            let mut end = index;
            while !directory::may_end_before(entries, end) {
                end -= 1;
            }
            if end == 0 {
                return Err(nfsstat3::NFS3ERR_TOOSMALL);
            }
            encoded.truncate(end);
            return Ok((encoded, false));
        }
        encoded.push(item);
    }
    Ok((encoded, true))
}

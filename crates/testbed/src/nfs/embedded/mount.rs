//! MOUNT v3 (RFC 1813, appendix I).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Mutex, PoisonError};

use nfs3_types::mount::{
    MOUNT_PROGRAM, dirpath, export_node, fhandle3, mountbody, mountres3, mountres3_ok, mountstat3,
    name,
};
use nfs3_types::nfs3::{ftype3, nfsstat3};
use nfs3_types::rpc::{accept_stat_data, auth_flavor};
use nfs3_types::xdr_codec::{List, Opaque, Void};

use super::dispatch::decode;
use super::filesystem::{FileSystem, Object};
use super::names::NAME_MAX;
use super::rpc;

/// The longest path of a mount.
const PATH_MAX: usize = nfs3_types::mount::MNTPATHLEN;

/// Who has mounted what. It serves DUMP only: a client may forget to say that it unmounts.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Mutex<BTreeSet<(String, Vec<u8>)>>);

impl Mounts {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<(String, Vec<u8>)>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Carries out a call of MOUNT and encodes the reply.
pub(crate) fn answer(
    fs: &FileSystem,
    mounts: &Mounts,
    export_path: &str,
    peer: IpAddr,
    call: &rpc::RpcCall<'_>,
) -> Vec<u8> {
    let Ok(procedure) = MOUNT_PROGRAM::try_from(call.procedure) else {
        return rpc::accepted(call.xid, accept_stat_data::PROC_UNAVAIL);
    };
    let host = peer.to_string();
    match procedure {
        MOUNT_PROGRAM::MOUNTPROC3_NULL => rpc::success(call.xid, &Void),
        MOUNT_PROGRAM::MOUNTPROC3_MNT => {
            let Some(path) = decode::<dirpath<'_>>(call.arguments) else {
                return rpc::accepted(call.xid, accept_stat_data::GARBAGE_ARGS);
            };
            let path = path.0.as_ref();
            let result = match find(fs, export_path.as_bytes(), path) {
                Ok(directory) => {
                    mounts.change(|list| {
                        list.insert((host, path.to_vec()));
                    });
                    mountres3::Ok(mountres3_ok {
                        fhandle: fhandle3(fs.handles.encode(directory.number).data),
                        auth_flavors: vec![auth_flavor::AUTH_UNIX as u32],
                    })
                }
                Err(status) => mountres3::Err(status),
            };
            rpc::success(call.xid, &result)
        }
        MOUNT_PROGRAM::MOUNTPROC3_DUMP => {
            let mut list = Vec::new();
            mounts.change(|mounts| {
                list.extend(mounts.iter().map(|(host, path)| mountbody {
                    ml_hostname: name(Opaque::owned(host.as_bytes().to_vec())),
                    ml_directory: dirpath(Opaque::owned(path.clone())),
                }));
            });
            rpc::success(call.xid, &List(list))
        }
        MOUNT_PROGRAM::MOUNTPROC3_UMNT => {
            let Some(path) = decode::<dirpath<'_>>(call.arguments) else {
                return rpc::accepted(call.xid, accept_stat_data::GARBAGE_ARGS);
            };
            mounts.change(|list| {
                list.remove(&(host, path.0.to_vec()));
            });
            rpc::success(call.xid, &Void)
        }
        MOUNT_PROGRAM::MOUNTPROC3_UMNTALL => {
            mounts.change(|list| list.retain(|(mounted_by, _)| *mounted_by != host));
            rpc::success(call.xid, &Void)
        }
        MOUNT_PROGRAM::MOUNTPROC3_EXPORT => rpc::success(
            call.xid,
            &List(vec![export_node {
                ex_dir: dirpath(Opaque::borrowed(export_path.as_bytes())),
                ex_groups: List(Vec::new()),
            }]),
        ),
    }
}

/// The components of a path below the export, or `None` when it is not below it.
fn below<'a>(export_path: &[u8], path: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let parts = |path: &'a [u8]| {
        path.split(|byte| *byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
            .collect::<Vec<_>>()
    };
    if !path.starts_with(b"/") {
        return None;
    }
    let mut wanted = parts(path).into_iter();
    for part in export_path.split(|byte| *byte == b'/') {
        if !part.is_empty() && wanted.next() != Some(part) {
            return None;
        }
    }
    let rest: Vec<_> = wanted.collect();
    (!rest.contains(&&b".."[..])).then_some(rest)
}

/// The directory of a path: the export itself or one below it. No link is followed.
fn find(fs: &FileSystem, export_path: &[u8], path: &[u8]) -> Result<Object, mountstat3> {
    if path.len() > PATH_MAX {
        return Err(mountstat3::MNT3ERR_NAMETOOLONG);
    }
    // What is not exported is denied whether it exists or not.
    let parts = below(export_path, path).ok_or(mountstat3::MNT3ERR_ACCES)?;
    let mut directory = fs.root().map_err(|_| mountstat3::MNT3ERR_NOENT)?;
    for part in parts {
        if part.len() > NAME_MAX {
            return Err(mountstat3::MNT3ERR_NAMETOOLONG);
        }
        if part.contains(&0) {
            return Err(mountstat3::MNT3ERR_INVAL);
        }
        directory =
            fs.child(&directory, OsStr::from_bytes(part))
                .map_err(|status| match status {
                    nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_STALE => mountstat3::MNT3ERR_NOENT,
                    nfsstat3::NFS3ERR_ACCES => mountstat3::MNT3ERR_ACCES,
                    _ => mountstat3::MNT3ERR_IO,
                })?;
        if directory.attributes.type_ != ftype3::NF3DIR {
            return Err(mountstat3::MNT3ERR_NOTDIR);
        }
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_export_are_found() {
        let below = |path: &str| {
            below(b"/srv/export", path.as_bytes()).map(|parts| {
                parts
                    .iter()
                    .map(|part| String::from_utf8_lossy(part).into_owned())
                    .collect::<Vec<_>>()
                    .join("/")
            })
        };
        assert_eq!(below("/srv/export").as_deref(), Some(""));
        assert_eq!(below("/srv/export/").as_deref(), Some(""));
        assert_eq!(below("//srv//export/./a/b/").as_deref(), Some("a/b"));
        for outside in [
            "/srv",
            "/srv/exports",
            "/srv/export/../secret",
            "/srv/export/a/..",
            "srv/export",
            "/",
            "",
        ] {
            assert_eq!(below(outside), None, "{outside}");
        }
    }
}

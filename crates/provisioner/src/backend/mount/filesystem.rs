//! Which file system is at the mount point, and what its objects are known by.

use std::collections::HashMap;
use std::fs::read_to_string;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use camino::Utf8PathBuf;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, NFS_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::fstatvfs;
use sha2::{Digest, Sha256};

use crate::backend::failure::Failure;
use crate::backend::{Cause, Identity, Kind, Stat};
use crate::clock::Fence;

use super::errno;
use super::operations::Root;

/// The mount point and what is known of it.
#[derive(Debug)]
pub(crate) struct Export {
    path: Utf8PathBuf,
    allow_any: bool,
    known: Mutex<Known>,
    /// Until when changes may be made. The threads of calls cannot be stopped, so they ask.
    fence: Mutex<Option<Fence>>,
}

/// File systems seen so far, by `st_dev`.
#[derive(Debug, Default)]
struct Known {
    /// The one last verified at the mount point.
    root: Option<u64>,
    /// The stable identity of each.
    stable: HashMap<u64, u64>,
}

impl Export {
    pub(crate) fn new(path: Utf8PathBuf, allow_any: bool) -> Self {
        Self {
            path,
            allow_any,
            known: Mutex::new(Known::default()),
            fence: Mutex::default(),
        }
    }

    /// From now on changes are made while this fence is open.
    pub(crate) fn set_fence(&self, fence: Fence) {
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = Some(fence);
    }

    /// Fails once the process may not act any more. Asked before each change: a thread that was
    /// frozen between two goes no further.
    pub(crate) fn may_change(&self) -> Result<(), Failure> {
        let fence = self.fence.lock().unwrap_or_else(PoisonError::into_inner);
        match fence.as_ref().map(Fence::check) {
            Some(Err(fenced)) => Err(Failure::uncertain(Cause::Io, fenced.to_string())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Opens the mount point and makes sure that it is what it has to be.
    ///
    /// A mount point that is missing never means that what lies below it is gone, so it is
    /// [`Cause::Unreachable`] and not [`Cause::NotFound`].
    pub(crate) fn open(&self) -> Result<Root<'_>, Failure> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(self.path.as_std_path(), flags, Mode::empty()).map_err(|errno| {
            let failure = errno::reading(errno);
            let detail = format!("cannot open the mount point {}: {errno}", self.path);
            match failure.cause {
                Cause::NotFound | Cause::NotADirectory => {
                    Failure::definite(Cause::Unreachable, detail)
                }
                _ => Failure { detail, ..failure },
            }
        })?;
        let device = fstat(&fd).map_err(errno::reading)?.st_dev;
        if self.known().root != Some(device) {
            self.verify(&fd, device)?;
            let mut known = self.known();
            if let Some(before) = known.root.replace(device) {
                tracing::warn!(path = %self.path, before, device, "another file system is mounted");
                known.stable.clear();
            }
        }
        Ok(Root {
            fd,
            device,
            export: self,
        })
    }

    /// Refuses a mount point without an NFS file system.
    fn verify(&self, fd: &OwnedFd, device: u64) -> Result<(), Failure> {
        if self.allow_any {
            return Ok(());
        }
        let kind = fstatfs(fd).map_err(errno::reading)?.filesystem_type();
        if kind == NFS_SUPER_MAGIC {
            return Ok(());
        }
        let mounts = read_to_string(MOUNTINFO).unwrap_or_default();
        let name = mount_of(&mounts, device).map_or("another file system", |mount| mount.kind);
        if kind == FUSE_SUPER_MAGIC && name == "fuse.nfs" {
            return Ok(());
        }
        Err(Failure::definite(
            Cause::Unreachable,
            format!(
                "{} is on {name}; mount the export there (nfs, nfs4 or fuse.nfs), or pass \
                 --allow-any-filesystem in a test",
                self.path
            ),
        ))
    }

    /// The identity of a file system that is the same after a remount and on another node.
    ///
    /// `st_dev` is not: the kernel numbers NFS mounts as they come. `f_fsid` is where the kernel
    /// fills it in (local file systems). It is 0 for NFS: then the export's own file system is 0,
    /// and one mounted below it is told by the path it is exported as.
    pub(crate) fn stable(
        &self,
        object: &impl AsFd,
        device: u64,
        root: u64,
    ) -> Result<u64, Failure> {
        if let Some(stable) = self.known().stable.get(&device) {
            return Ok(*stable);
        }
        let told = fstatvfs(object).map_err(errno::reading)?.filesystem_id();
        let stable = if told != 0 || device == root {
            told
        } else {
            let mounts = read_to_string(MOUNTINFO).unwrap_or_default();
            mount_of(&mounts, device).map_or(device, |mount| hash(mount.exported_path()))
        };
        self.known().stable.insert(device, stable);
        Ok(stable)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Turns the kernel's attributes into ours.
pub(crate) fn stat(raw: &FileStat, fsid: u64) -> Stat {
    Stat {
        identity: Identity {
            fsid,
            fileid: raw.st_ino,
        },
        kind: kind(raw),
        mode: raw.st_mode & 0o7777,
        uid: raw.st_uid,
        gid: raw.st_gid,
        size: u64::try_from(raw.st_size).unwrap_or(0),
    }
}

/// What the kernel says an object is.
pub(crate) fn kind(raw: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(raw.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFLNK => Kind::Symlink,
        _ => Kind::Other,
    }
}

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// One line of `mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    kind: &'a str,
    source: &'a str,
}

impl Mount<'_> {
    /// The path of `server:/path`, without the server, which may be known by several names.
    fn exported_path(&self) -> &str {
        self.source
            .split_once(":/")
            .map_or(self.source, |(_, path)| path)
    }
}

/// Finds a file system by `st_dev` in the text of `/proc/self/mountinfo` (`proc(5)`: field 3 is
/// `major:minor`, the type and the source follow a lone `-`).
fn mount_of(mountinfo: &str, device: u64) -> Option<Mount<'_>> {
    let wanted = format!(
        "{}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device)
    );
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.nth(2)? != wanted {
            return None;
        }
        let mut tail = fields.skip_while(|field| *field != "-").skip(1);
        Some(Mount {
            kind: tail.next()?,
            source: tail.next()?,
        })
    })
}

/// The first 8 bytes of SHA-256.
fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
91 22 0:52 / /persistentvolumes rw,relatime master:3 - nfs4 10.0.0.1:/export rw,vers=4.2
92 91 0:53 / /persistentvolumes/tank rw,relatime - nfs4 10.0.0.1:/export/tank rw
93 22 0:60 / /fuse rw,nosuid - fuse.nfs nas:/vol rw,user_id=0";

    #[test]
    fn a_mount_is_found_by_its_device() {
        let device = |minor| nix::sys::stat::makedev(0, minor);
        assert_eq!(
            mount_of(MOUNTS, device(52)),
            Some(Mount {
                kind: "nfs4",
                source: "10.0.0.1:/export"
            })
        );
        assert_eq!(mount_of(MOUNTS, device(60)).unwrap().kind, "fuse.nfs");
        assert_eq!(mount_of(MOUNTS, device(5)), None);
    }

    #[test]
    fn a_nested_file_system_keeps_its_identity_under_another_server_name() {
        let one = Mount {
            kind: "nfs4",
            source: "10.0.0.1:/export/tank",
        };
        let other = Mount {
            kind: "nfs4",
            source: "nas.example:/export/tank",
        };
        assert_eq!(hash(one.exported_path()), hash(other.exported_path()));
        let sibling = Mount {
            kind: "nfs4",
            source: "10.0.0.1:/export/pool",
        };
        assert_ne!(hash(one.exported_path()), hash(sibling.exported_path()));
    }

    #[test]
    fn a_local_directory_is_no_export() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let failure = Export::new(path.clone(), false).open().unwrap_err();
        assert_eq!(failure.cause, Cause::Unreachable);
        assert!(failure.detail.contains(path.as_str()), "{}", failure.detail);
        Export::new(path, true).open().unwrap();
    }

    #[test]
    fn a_missing_mount_point_is_unreachable_and_not_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("gone")).unwrap();
        let failure = Export::new(path, true).open().unwrap_err();
        assert_eq!(failure.cause, Cause::Unreachable);
    }

    #[test]
    fn another_file_system_at_the_mount_point_is_learned_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mount_point = directory.path().join("mounted");
        std::os::unix::fs::symlink(directory.path(), &mount_point).unwrap();
        let export = Export::new(
            Utf8PathBuf::from_path_buf(mount_point.clone()).unwrap(),
            true,
        );
        let look = || {
            let root = export.open().unwrap();
            export.stable(&root, root.device, root.device).unwrap();
            root.device
        };
        let before = look();
        std::fs::remove_file(&mount_point).unwrap();
        std::os::unix::fs::symlink("/proc", &mount_point).unwrap();
        let after = look();
        assert_ne!(before, after);
        let known = export.known();
        assert_eq!(known.root, Some(after));
        assert_eq!(known.stable.keys().collect::<Vec<_>>(), [&after]);
    }
}

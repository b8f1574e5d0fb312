//! The directories that are exported, and whether their file system can be.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs,
};

use super::ContainerError;

/// The file systems that nfs-ganesha's VFS back end opens by handle.
const ALLOWED: &str = "ext4, xfs, btrfs or tmpfs";

/// The name of a file system that may be exported, or that of one which may not.
fn judge(kind: FsType) -> Result<&'static str, String> {
    // ext2, ext3 and ext4 have one number.
    for (known, name) in [
        (EXT4_SUPER_MAGIC, "ext4"),
        (XFS_SUPER_MAGIC, "xfs"),
        (BTRFS_SUPER_MAGIC, "btrfs"),
        (TMPFS_MAGIC, "tmpfs"),
    ] {
        if kind == known {
            return Ok(name);
        }
    }
    Err(match kind {
        OVERLAYFS_SUPER_MAGIC => "overlayfs (a container's own file system)".to_owned(),
        NFS_SUPER_MAGIC => "NFS".to_owned(),
        FsType(number) => format!("a file system of type {number:#x}"),
    })
}

/// Makes a directory with these permission bits unless it is there, and says whether it can be
/// exported.
pub(super) fn prepare(path: &Utf8Path, mode: u32) -> Result<(), ContainerError> {
    let failed = |source| ContainerError::Directory {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    // Not by the call that makes it, which the umask narrows.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    let kind = statfs(path.as_std_path())
        .map_err(|errno| failed(errno.into()))?
        .filesystem_type();
    match judge(kind) {
        Ok(_) => Ok(()),
        Err(found) => Err(ContainerError::FileSystem {
            path: path.to_owned(),
            found,
            allowed: ALLOWED,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_with_handles_are_taken_and_others_are_named() {
        assert_eq!(judge(EXT4_SUPER_MAGIC), Ok("ext4"));
        assert_eq!(judge(TMPFS_MAGIC), Ok("tmpfs"));
        assert!(
            judge(OVERLAYFS_SUPER_MAGIC)
                .unwrap_err()
                .contains("overlayfs")
        );
        assert!(judge(FsType(0x0102)).unwrap_err().contains("0x102"));
    }

    #[test]
    fn a_directory_that_cannot_be_prepared_is_named() {
        let error = prepare(Utf8Path::new("/proc/self"), 0o755)
            .unwrap_err()
            .to_string();
        // /proc refuses the change of permissions.
        assert!(error.contains("/proc/self"), "{error}");
    }

    #[test]
    fn a_new_directory_has_the_mode_whatever_the_umask() {
        let place = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(place.path()).unwrap().join("a/b");
        match prepare(&path, 0o777) {
            Ok(()) | Err(ContainerError::FileSystem { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o777);
    }
}

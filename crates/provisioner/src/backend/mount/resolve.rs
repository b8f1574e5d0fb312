//! Opening objects below the root without following a symbolic link.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;

use crate::path::{Component, RelativePath};

/// Whether this kernel has no `openat2` (before Linux 5.6).
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// How often a resolution that met a concurrent rename is repeated (`EAGAIN`) before every
/// component is opened by itself, which cannot be disturbed that way.
const RESTARTS: usize = 8;

/// Opens a directory below `root`. The root is a directory.
///
/// # Errors
/// `ELOOP` or `ENOTDIR` where a component is a symbolic link or anything but a directory.
pub(crate) fn directory(
    root: &impl AsFd,
    path: &RelativePath,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    if path.is_root() {
        return openat(root, c".", flags, Mode::empty());
    }
    if NO_OPENAT2.load(Ordering::Relaxed) {
        return by_component(root, path.components(), flags);
    }
    let how = OpenHow::new().flags(flags).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let text = path.to_string();
    for _ in 0..RESTARTS {
        match openat2(root, text.as_str(), how) {
            Err(Errno::EAGAIN) => {}
            // Container runtimes of some age answer EPERM to system calls they do not know.
            Err(Errno::ENOSYS) => {
                NO_OPENAT2.store(true, Ordering::Relaxed);
                break;
            }
            Err(Errno::EPERM) => break,
            other => return other,
        }
    }
    by_component(root, path.components(), flags)
}

/// The same with one open per component.
fn by_component(root: &impl AsFd, components: &[Component], flags: OFlag) -> nix::Result<OwnedFd> {
    let step = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Some((last, parents)) = components.split_last() else {
        return openat(root, c".", flags, Mode::empty());
    };
    let mut current: Option<OwnedFd> = None;
    for component in parents {
        current = Some(open_in(root, current.as_ref(), component, step)?);
    }
    open_in(root, current.as_ref(), last, flags)
}

fn open_in(
    root: &impl AsFd,
    current: Option<&OwnedFd>,
    component: &Component,
    flags: OFlag,
) -> nix::Result<OwnedFd> {
    match current {
        Some(directory) => openat(directory, component.as_str(), flags, Mode::empty()),
        None => openat(root, component.as_str(), flags, Mode::empty()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rstest::rstest;

    use super::*;

    fn way(by_components: bool, root: &Path, path: &str) -> nix::Result<OwnedFd> {
        let root = std::fs::File::open(root).unwrap();
        let path = RelativePath::parse(path).unwrap();
        if by_components {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            by_component(&root, path.components(), flags)
        } else {
            directory(&root, &path, OFlag::O_RDONLY)
        }
    }

    #[rstest]
    fn links_are_refused_wherever_they_are(#[values(false, true)] by_components: bool) {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(outside.path().join("b/c")).unwrap();
        std::fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        symlink(outside.path(), root.path().join("first")).unwrap();
        symlink(outside.path().join("b"), root.path().join("a/middle")).unwrap();
        symlink("../../a", root.path().join("a/b/last")).unwrap();
        std::fs::write(root.path().join("a/file"), "").unwrap();

        assert!(way(by_components, root.path(), "a/b/c").is_ok());
        assert!(way(by_components, root.path(), "").is_ok());
        for path in [
            "first",
            "first/b",
            "a/middle",
            "a/middle/c",
            "a/b/last",
            "a/b/last/b",
        ] {
            let error = way(by_components, root.path(), path).unwrap_err();
            assert!(
                matches!(error, Errno::ELOOP | Errno::ENOTDIR),
                "{path}: {error}"
            );
        }
        assert_eq!(
            way(by_components, root.path(), "a/file").unwrap_err(),
            Errno::ENOTDIR
        );
        assert_eq!(
            way(by_components, root.path(), "a/file/x").unwrap_err(),
            Errno::ENOTDIR
        );
        assert_eq!(
            way(by_components, root.path(), "a/none/x").unwrap_err(),
            Errno::ENOENT
        );
    }
}

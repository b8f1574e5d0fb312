//! The single calls, on the thread that may block.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, fsync, unlinkat};

use crate::backend::failure::Failure;
use crate::backend::temporary::{FILE_MAX, fits, temporary_name};
use crate::backend::{Attributes, Cause, Certainty, Entry, Identity, Kind, Space, Stat};
use crate::path::{Component, RelativePath};

use super::errno::{changing, reading};
use super::filesystem::{Export, kind, stat};
use super::resolve;

/// The root of the export, open and verified.
pub(crate) struct Root<'a> {
    pub(crate) fd: OwnedFd,
    pub(crate) device: u64,
    pub(crate) export: &'a Export,
}

impl Root<'_> {
    pub(crate) fn stat(&self, path: &RelativePath) -> Result<Option<Stat>, Failure> {
        let found = match self.parent_of(path) {
            Some((parent, leaf)) => parent.and_then(|parent| self.stat_in(&parent, leaf.as_str())),
            None => self.stat_fd(&self.fd),
        };
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(failure) if failure.cause == Cause::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn list(&self, path: &RelativePath) -> Result<Vec<Entry>, Failure> {
        let directory = self.directory(path, OFlag::O_RDONLY)?;
        let handle = directory.try_clone().map_err(|e| from_io(&e))?;
        let mut entries = Vec::new();
        for entry in Dir::from_fd(handle).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match self.stat_in(&directory, name) {
                Ok(stat) => {
                    entries.push(Entry {
                        name: name.to_string_lossy().into_owned(),
                        stat,
                    });
                }
                // Removed since the listing began.
                Err(failure) if failure.cause == Cause::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(entries)
    }

    pub(crate) fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
    ) -> Result<Identity, Failure> {
        let (parent, leaf) = self.need_parent(path)?;
        let new = make_private(&parent, leaf)?;
        self.export.may_change()?;
        // The umask applies to mkdir alone, so the mode is always set after it.
        if let Err(errno) = fchmod(&new, Mode::from_bits_truncate(mode)) {
            let failure = changing(errno).after_a_change();
            return Err(undo_directory(&parent, leaf, &new, failure));
        }
        Ok(self
            .stat_fd(&new)
            .map_err(Failure::after_a_change)?
            .identity)
    }

    pub(crate) fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
    ) -> Result<(), Failure> {
        // O_PATH opens whatever the modes are and never blocks on a pipe.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let object = match self.parent_of(path) {
            Some((parent, leaf)) => {
                openat(&parent?, leaf.as_str(), flags, Mode::empty()).map_err(reading)?
            }
            None => self.fd.try_clone().map_err(|e| from_io(&e))?,
        };
        let found = kind(&fstat(&object).map_err(reading)?);
        if found == Kind::Symlink {
            return Err(Failure::not_a_directory(&leaf_name(path), found));
        }
        // The owner first: changing it clears the set-id bits of the mode.
        if attributes.uid.is_some() || attributes.gid.is_some() {
            let uid = attributes.uid.map(Uid::from_raw);
            let gid = attributes.gid.map(Gid::from_raw);
            fchownat(&object, c"", uid, gid, AtFlags::AT_EMPTY_PATH).map_err(changing)?;
        }
        if let Some(mode) = attributes.mode {
            self.export.may_change()?;
            // chmod by descriptor needs an open for reading; the link in /proc does not.
            let link = format!("/proc/self/fd/{}", object.as_raw_fd());
            let mode = Mode::from_bits_truncate(mode);
            fchmodat(AT_FDCWD, link.as_str(), mode, FchmodatFlags::FollowSymlink)
                .map_err(changing)?;
        }
        Ok(())
    }

    pub(crate) fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
    ) -> Result<(), Failure> {
        if from.contains(to) && from != to {
            return Err(Failure::definite(
                Cause::Io,
                format!("`{to}` lies inside the source"),
            ));
        }
        let (source_parent, source) = self.need_parent(from)?;
        let (target_parent, target) = self.need_parent(to)?;
        let found = self.stat_in(&source_parent, source.as_str())?;
        if found.kind != Kind::Directory {
            return Err(Failure::not_a_directory(source.as_str(), found.kind));
        }
        let reservation =
            make_private(&target_parent, target).map_err(|failure| named(to, failure))?;
        self.export.may_change()?;
        // Replaces the reservation only while it is empty, and never with anything but a
        // directory: the kernel refuses both.
        let renamed = renameat(
            &source_parent,
            source.as_str(),
            &target_parent,
            target.as_str(),
        );
        let Err(errno) = renamed else { return Ok(()) };
        let failure = changing(errno).after_a_change();
        if failure.certainty == Certainty::Uncertain
            && let Ok(there) = self.stat_in(&target_parent, target.as_str())
            && there.identity == found.identity
        {
            return Ok(());
        }
        let failure = undo_directory(&target_parent, target, &reservation, failure);
        if matches!(failure.cause, Cause::NotEmpty | Cause::AlreadyExists) {
            return Err(Failure::definite(
                Cause::AlreadyExists,
                format!("something was put into `{to}` while it was reserved"),
            ));
        }
        Err(failure)
    }

    pub(crate) fn remove_directory(&self, path: &RelativePath) -> Result<(), Failure> {
        let (parent, leaf) = self.need_parent(path)?;
        unlinkat(&parent, leaf.as_str(), UnlinkatFlags::RemoveDir).map_err(changing)
    }

    pub(crate) fn read_file(&self, path: &RelativePath) -> Result<Option<Vec<u8>>, Failure> {
        let Some((parent, leaf)) = self.parent_of(path) else {
            return Err(Failure::not_a_file(Kind::Directory));
        };
        match parent.and_then(|parent| self.read_in(&parent, leaf)) {
            Ok(content) => Ok(Some(content)),
            Err(failure) if failure.cause == Cause::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn read_in(&self, parent: &OwnedFd, leaf: &Component) -> Result<Vec<u8>, Failure> {
        // The kind is looked at first: opening a device may have effects.
        let found = self.stat_in(parent, leaf.as_str())?;
        if found.kind != Kind::File {
            return Err(Failure::not_a_file(found.kind));
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = openat(parent, leaf.as_str(), flags, Mode::empty()).map_err(reading)?;
        let mut content = Vec::new();
        let most = u64::try_from(FILE_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        File::from(fd)
            .take(most)
            .read_to_end(&mut content)
            .map_err(|e| from_io(&e))?;
        if content.len() > FILE_MAX {
            return Err(too_long());
        }
        Ok(content)
    }

    pub(crate) fn write_file(&self, path: &RelativePath, content: &[u8]) -> Result<(), Failure> {
        if !fits(content.len() as u64) {
            return Err(too_long());
        }
        let (parent_path, leaf) = split(path)?;
        // Open for reading, as a directory that is only O_PATH cannot be synced.
        let parent = self.directory(&parent_path, OFlag::O_RDONLY)?;
        let temporary = temporary_name();
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let fd = openat(&parent, temporary.as_str(), flags, mode).map_err(changing)?;
        let mut file = File::from(fd);
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|e| from_io(&e))
            .and_then(|()| self.export.may_change())
            .and_then(|()| {
                renameat(&parent, temporary.as_str(), &parent, leaf.as_str()).map_err(changing)
            });
        if let Err(failure) = written {
            // Nothing points at the temporary file; what stays behind is recognised by its name.
            if self.export.may_change().is_ok() {
                let _ = unlinkat(&parent, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            }
            return Err(failure.after_a_change());
        }
        // The rename itself is durable only with the directory. If that fails, it may be undone.
        fsync(&parent).map_err(|errno| {
            let failure = changing(errno);
            Failure::uncertain(failure.cause, format!("syncing the directory: {errno}"))
        })
    }

    pub(crate) fn remove_file(&self, path: &RelativePath) -> Result<(), Failure> {
        let Some((parent, leaf)) = self.parent_of(path) else {
            return Err(Failure::not_a_file(Kind::Directory));
        };
        let removed = parent.and_then(|parent| {
            unlinkat(&parent, leaf.as_str(), UnlinkatFlags::NoRemoveDir).map_err(changing)
        });
        match removed {
            Err(failure) if failure.cause == Cause::NotFound => Ok(()),
            other => other,
        }
    }

    /// A directory below the root.
    pub(crate) fn directory(&self, path: &RelativePath, flags: OFlag) -> Result<OwnedFd, Failure> {
        resolve::directory(&self.fd, path, flags).map_err(reading)
    }

    /// The parent, open, and the last component; `None` for the root.
    fn parent_of<'p>(
        &self,
        path: &'p RelativePath,
    ) -> Option<(Result<OwnedFd, Failure>, &'p Component)> {
        let (parent, leaf) = path.parent().zip(path.leaf())?;
        Some((self.directory(&parent, OFlag::O_PATH), leaf))
    }

    /// The same for a call that cannot apply to the root.
    pub(crate) fn need_parent<'p>(
        &self,
        path: &'p RelativePath,
    ) -> Result<(OwnedFd, &'p Component), Failure> {
        let (parent, leaf) = self.parent_of(path).ok_or_else(Failure::is_the_root)?;
        Ok((parent?, leaf))
    }

    fn stat_fd(&self, object: &OwnedFd) -> Result<Stat, Failure> {
        let raw = fstat(object).map_err(reading)?;
        Ok(stat(
            &raw,
            self.export.stable(object, raw.st_dev, self.device)?,
        ))
    }

    fn stat_in<P: nix::NixPath + ?Sized>(
        &self,
        parent: &OwnedFd,
        name: &P,
    ) -> Result<Stat, Failure> {
        let raw = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(reading)?;
        let here = fstat(parent).map_err(reading)?;
        if raw.st_dev == here.st_dev {
            return Ok(stat(
                &raw,
                self.export.stable(parent, raw.st_dev, self.device)?,
            ));
        }
        // A mount point: ask the file system mounted there.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let object = openat(parent, name, flags, Mode::empty()).map_err(reading)?;
        self.stat_fd(&object)
    }
}

/// Room on the export.
pub(crate) fn space(root: &Root) -> Result<Space, Failure> {
    let told = fstatvfs(&root.fd).map_err(reading)?;
    Ok(Space {
        bytes_free: told.blocks_available().saturating_mul(told.fragment_size()),
        inodes_free: told.files_available(),
    })
}

impl AsFd for Root<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for Root<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Root")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// Makes a directory nobody else can enter and opens it.
fn make_private(parent: &OwnedFd, leaf: &Component) -> Result<OwnedFd, Failure> {
    mkdirat(parent, leaf.as_str(), Mode::S_IRWXU).map_err(changing)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, leaf.as_str(), flags, Mode::empty()).map_err(|errno| {
        Failure::uncertain(
            reading(errno).cause,
            format!("`{leaf}` was made and cannot be opened: {errno}"),
        )
    })
}

/// Takes back a directory that was just made, if it still is the same and empty. Then nothing was
/// changed after all; otherwise the outcome is for the caller to look at.
fn undo_directory(parent: &OwnedFd, leaf: &Component, made: &OwnedFd, failure: Failure) -> Failure {
    let same = fstat(made).and_then(|made| {
        let there = fstatat(parent, leaf.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok((made.st_dev, made.st_ino) == (there.st_dev, there.st_ino))
    });
    let undone = match same {
        Ok(true) => unlinkat(parent, leaf.as_str(), UnlinkatFlags::RemoveDir)
            .map_err(|errno| errno.to_string()),
        Ok(false) => Err("somebody replaced it".to_owned()),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.to_string()),
    };
    match undone {
        Ok(()) => failure,
        Err(reason) => Failure {
            certainty: Certainty::Uncertain,
            detail: format!(
                "{}; `{leaf}` was made and stays behind: {reason}",
                failure.detail
            ),
            ..failure
        },
    }
}

/// The parent path and the last component of a file that can be written.
fn split(path: &RelativePath) -> Result<(RelativePath, &Component), Failure> {
    path.parent()
        .zip(path.leaf())
        .ok_or_else(Failure::is_the_root)
}

fn leaf_name(path: &RelativePath) -> String {
    path.leaf()
        .map_or_else(|| "/".to_owned(), ToString::to_string)
}

/// Says which of two paths a failure is about.
fn named(path: &RelativePath, mut failure: Failure) -> Failure {
    failure.detail = format!("`{path}`: {}", failure.detail);
    failure
}

fn too_long() -> Failure {
    Failure::definite(Cause::Io, format!("it is longer than {FILE_MAX} bytes"))
}

fn from_io(error: &std::io::Error) -> Failure {
    match error.raw_os_error() {
        Some(number) => changing(Errno::from_raw(number)),
        None => Failure::definite(Cause::Io, error.to_string()),
    }
}

/// A name of ours for the kernel.
pub(crate) fn kernel_name(component: &Component) -> Result<CString, Failure> {
    CString::new(component.as_str())
        .map_err(|_| Failure::definite(Cause::Io, "the name holds a NUL character"))
}

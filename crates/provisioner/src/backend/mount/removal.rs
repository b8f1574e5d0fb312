//! Walking a mounted tree by directory handles.

use std::collections::HashSet;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::backend::failure::Failure;
use crate::backend::removal::{Batch, Cursor, Progress, remove};
use crate::backend::{Cause, Kind};
use crate::path::RelativePath;

use super::errno::{changing, reading};
use super::filesystem::{Export, kind};
use super::operations::kernel_name;

/// Entries taken from a directory at a time: bounds memory on directories of any size.
const BATCH: usize = 4096;

/// How long a walk rests after a failure that may pass, such as a stale handle.
const REST: Duration = Duration::from_millis(200);

/// Removes the tree at `path`, starting again from the root after whatever may pass.
pub(crate) fn run(
    export: &Export,
    path: &RelativePath,
    progress: &Progress,
) -> Result<(), Failure> {
    loop {
        match futures::executor::block_on(once(export, path, progress)) {
            Err(failure)
                if failure.is_transient() && !progress.is_over() && export.may_change().is_ok() =>
            {
                tracing::debug!(%path, cause = ?failure.cause, "removal starts again");
                std::thread::sleep(REST);
            }
            Err(failure) if failure.cause == Cause::NotFound => return Ok(()),
            other => return other,
        }
    }
}

async fn once(export: &Export, path: &RelativePath, progress: &Progress) -> Result<(), Failure> {
    let root = export.open()?;
    let (_, leaf) = root.need_parent(path)?;
    let parent = path.parent().unwrap_or_default();
    let directory = root.directory(&parent, OFlag::O_RDONLY)?;
    let top = Name(kernel_name(leaf)?);
    remove(
        &mut Walk {
            current: directory,
            above: Vec::new(),
            device: None,
            export,
        },
        top,
        progress,
    )
    .await
}

/// A name as the kernel has it, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name(CString);

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_string_lossy())
    }
}

/// One open directory, however deep the tree is: the way up is `..`, checked against the
/// directories passed on the way down, so that moving a directory meanwhile leads nowhere else.
struct Walk<'a> {
    current: OwnedFd,
    above: Vec<(u64, u64)>,
    /// The file system of the tree, known with its first directory.
    device: Option<u64>,
    /// Asked before each change.
    export: &'a Export,
}

const OPEN: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

impl Walk<'_> {
    fn list(&self, skip: &HashSet<Name>) -> nix::Result<Batch<Name>> {
        let mut batch = Batch {
            directories: Vec::new(),
            others: Vec::new(),
            end: true,
        };
        let fresh = openat(&self.current, c".", OPEN, Mode::empty())?;
        for entry in Dir::from_fd(fresh)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            let name = Name(entry.file_name().to_owned());
            if skip.contains(&name) {
                continue;
            }
            if batch.directories.len() + batch.others.len() == BATCH {
                batch.end = false;
                break;
            }
            let is_directory = match entry.file_type() {
                Some(told) => told == Type::Directory,
                None => self.is_directory(&name)?,
            };
            if is_directory {
                &mut batch.directories
            } else {
                &mut batch.others
            }
            .push(name);
        }
        Ok(batch)
    }

    /// For file systems whose listings do not tell.
    fn is_directory(&self, name: &Name) -> nix::Result<bool> {
        match fstatat(
            &self.current,
            name.0.as_c_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        ) {
            Ok(found) => Ok(kind(&found) == Kind::Directory),
            Err(nix::errno::Errno::ENOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

impl Cursor for Walk<'_> {
    type Name = Name;

    async fn batch(&mut self, skip: &HashSet<Name>) -> Result<Batch<Name>, Failure> {
        self.export.may_change()?;
        self.list(skip).map_err(reading)
    }

    async fn unlink(&mut self, names: Vec<Name>) -> Vec<(Name, Result<(), Failure>)> {
        names
            .into_iter()
            .map(|name| {
                let result = self.export.may_change().and_then(|()| {
                    unlinkat(&self.current, name.0.as_c_str(), UnlinkatFlags::NoRemoveDir)
                        .map_err(changing)
                });
                (name, result)
            })
            .collect()
    }

    async fn enter(&mut self, name: &Name) -> Result<(), Failure> {
        let here = fstat(&self.current).map_err(reading)?;
        let next =
            openat(&self.current, name.0.as_c_str(), OPEN, Mode::empty()).map_err(reading)?;
        let there = fstat(&next).map_err(reading)?;
        if *self.device.get_or_insert(there.st_dev) != there.st_dev {
            return Err(Failure::definite(
                Cause::CrossDevice,
                "a file system is mounted there",
            ));
        }
        self.above.push((here.st_dev, here.st_ino));
        self.current = next;
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        let next = openat(&self.current, c"..", OPEN, Mode::empty()).map_err(reading)?;
        let found = fstat(&next).map_err(reading)?;
        if self.above.pop() != Some((found.st_dev, found.st_ino)) {
            return Err(Failure::definite(
                Cause::Stale,
                "a directory was moved meanwhile",
            ));
        }
        self.current = next;
        Ok(())
    }

    async fn rmdir(&mut self, name: &Name) -> Result<(), Failure> {
        self.export.may_change()?;
        unlinkat(&self.current, name.0.as_c_str(), UnlinkatFlags::RemoveDir).map_err(changing)
    }

    async fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

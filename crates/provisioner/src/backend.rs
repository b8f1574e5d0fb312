//! The storage primitives a provisioner needs of an export. Creating, archiving and removing a
//! volume are sequences above them, written down in [`crate::intents`] before they start.

pub mod direct;
mod failure;
pub mod mount;
mod removal;
mod temporary;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Fence;
use crate::path::RelativePath;

pub use temporary::{FILE_MAX, TEMPORARY_PREFIX, is_temporary};

/// What a file system knows an object by for as long as it exists, whatever its name: `fsid` and
/// `fileid` of RFC 1813 section 2.5.
///
/// The same in every process and on every node, so it can be recorded. But the two backends may
/// name one file system differently: a mounted export does not tell the server's `fsid`, so the
/// mounted backend calls the export's own file system 0 (`st_dev` is numbered anew at each mount).
/// Identities are comparable when [`Backend::name`] is the same; across backends only `fileid` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The file system.
    pub fsid: u64,
    /// The object in it.
    pub fileid: u64,
}

/// The kinds of objects the provisioner tells apart. It never follows a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// Attributes of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is known by.
    pub identity: Identity,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0..=0o7777`.
    pub mode: u32,
    /// Numeric owner as the server sees it.
    pub uid: u32,
    /// Numeric group as the server sees it.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: one path component, as the server gave it.
    pub name: String,
    /// Its attributes, of the link itself for a symbolic link.
    pub stat: Stat,
}

/// Attributes to set; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, `0..=0o7777`, set exactly (no umask).
    pub mode: Option<u32>,
    /// Numeric owner.
    pub uid: Option<u32>,
    /// Numeric group.
    pub gid: Option<u32>,
}

/// Room on the export, as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes available to the provisioner's identity.
    pub bytes_free: u64,
    /// Inodes available.
    pub inodes_free: u64,
}

/// How a storage call ended when it did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The server refused: nothing was changed.
    Definite,
    /// A time-out or a lost connection: it may have been done. The caller settles it by looking
    /// at identities, never by repeating blindly.
    Uncertain,
}

/// Why a storage call failed: a closed set, each with a text of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// `ENOENT`
    NotFound,
    /// `EEXIST`
    AlreadyExists,
    /// `ENOTEMPTY`
    NotEmpty,
    /// `ENOTDIR`, or a symbolic link where a directory must be
    NotADirectory,
    /// `EACCES`, `EPERM`
    PermissionDenied,
    /// `ENOSPC`
    NoSpace,
    /// `EDQUOT`
    QuotaExceeded,
    /// `EROFS`
    ReadOnly,
    /// `ESTALE`
    Stale,
    /// `EXDEV`: a rename across file systems or quota trees
    CrossDevice,
    /// `ENAMETOOLONG`
    NameTooLong,
    /// `EIO` and whatever has no text of its own
    Io,
    /// The deadline passed.
    TimedOut,
    /// The export cannot be reached.
    Unreachable,
}

impl Cause {
    /// The sentence part a person reads in an event, without the path.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "it does not exist",
            Self::AlreadyExists => "it exists already",
            Self::NotEmpty => "the directory is not empty",
            Self::NotADirectory => "a component is not a directory",
            Self::PermissionDenied => "the server denied permission",
            Self::NoSpace => "no space is left on the export",
            Self::QuotaExceeded => "a quota on the export is exceeded",
            Self::ReadOnly => "the export is read-only",
            Self::Stale => "the file handle is stale",
            Self::CrossDevice => "source and target are on different file systems",
            Self::NameTooLong => "the name is too long for the server",
            Self::Io => "the server reported an input/output error",
            Self::TimedOut => "the server did not answer in time",
            Self::Unreachable => "the server cannot be reached",
        }
    }

    /// The same as a short stable word for metrics and logs.
    pub const fn category(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::NotEmpty => "not-empty",
            Self::NotADirectory => "not-a-directory",
            Self::PermissionDenied => "permission-denied",
            Self::NoSpace => "no-space",
            Self::QuotaExceeded => "quota-exceeded",
            Self::ReadOnly => "read-only",
            Self::Stale => "stale",
            Self::CrossDevice => "cross-device",
            Self::NameTooLong => "name-too-long",
            Self::Io => "io",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
        }
    }
}

/// A storage call that did not succeed: operation, path, what the server said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} {path}: {}{}", cause.text(), Detail(detail))]
pub struct StorageError {
    /// The operation, as the backend names it: `mkdir`, `rename`, ...
    pub operation: &'static str,
    /// The path below the export root; `/` is the root itself.
    pub path: String,
    /// Why.
    pub cause: Cause,
    /// Whether it may have been done all the same.
    pub certainty: Certainty,
    /// The server's or kernel's own words, may be empty.
    pub detail: String,
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(formatter, " ({})", self.0)
        }
    }
}

/// How a storage call ended.
pub type StorageResult<T> = Result<T, StorageError>;

/// An export, reached one way or another. Every path is a validated list of components below the
/// export's root, and no call ever follows a symbolic link or leaves the root.
///
/// Every call returns within `limit`: past it, [`Cause::TimedOut`] with [`Certainty::Uncertain`]
/// for a call that changes something.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// A short name for logs: `mount` or `direct`.
    fn name(&self) -> &'static str;

    /// Attributes of the object at `path`, or `None` where nothing is (a missing parent counts as
    /// nothing; a parent that is no directory is [`Cause::NotADirectory`]).
    async fn stat(&self, path: &RelativePath, limit: Duration) -> StorageResult<Option<Stat>>;

    /// The entries of a directory, without `.` and `..`, in any order.
    async fn list(&self, path: &RelativePath, limit: Duration) -> StorageResult<Vec<Entry>>;

    /// Makes one directory, mode exactly `mode`, and fails with [`Cause::AlreadyExists`] when
    /// anything has the name. The parent must exist.
    async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
        limit: Duration,
    ) -> StorageResult<Identity>;

    /// Sets mode and owner of the object itself (never of a link's target).
    async fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
        limit: Duration,
    ) -> StorageResult<()>;

    /// Renames a directory to a name that is free, replacing nothing: the target is reserved by an
    /// exclusive mkdir, then the rename replaces that empty directory.
    /// [`Cause::AlreadyExists`] when the target is taken.
    ///
    /// After an uncertain end the reservation, an empty directory of mode 0700, may be left at
    /// `to`; the source is then still at `from`, with its identity.
    async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
        limit: Duration,
    ) -> StorageResult<()>;

    /// Removes one empty directory.
    async fn remove_directory(&self, path: &RelativePath, limit: Duration) -> StorageResult<()>;

    /// Removes a whole tree, resumably: what is gone already is no error. It fails when nothing
    /// was removed for as long as `stall`, or, once everything else is gone, for what the server
    /// refuses for good; the detail names the entry. Never crosses into another file system
    /// ([`Cause::CrossDevice`]) and never follows a symbolic link.
    async fn remove_tree(&self, path: &RelativePath, stall: Duration) -> StorageResult<()>;

    /// The content of a small file, or `None` where there is none. A file beyond 64 KiB is an
    /// error: no record of ours is that long.
    async fn read_file(
        &self,
        path: &RelativePath,
        limit: Duration,
    ) -> StorageResult<Option<Vec<u8>>>;

    /// Writes a small file durably and atomically: temporary name beside it, synced, renamed. Its
    /// mode is 0600. After a crash the temporary file may be left: see [`is_temporary`].
    async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
        limit: Duration,
    ) -> StorageResult<()>;

    /// Removes one file; one that is gone already is no error.
    async fn remove_file(&self, path: &RelativePath, limit: Duration) -> StorageResult<()>;

    /// Until when changes may be made. A call that is dropped goes no further where it waits for
    /// its caller; a backend whose calls do not has to ask before each change.
    fn fenced_by(&self, _fence: &Fence) {}

    /// Calls past their limit that have not returned: their callers were answered, but a thread
    /// still waits for each.
    fn stuck_calls(&self) -> usize {
        0
    }

    /// Room on the export.
    async fn space(&self, limit: Duration) -> StorageResult<Space>;
}

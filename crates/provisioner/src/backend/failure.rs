//! How a step inside a backend fails, before the operation and the path are known.

use crate::backend::{Cause, Certainty, Identity, Kind, StorageError};
use crate::path::RelativePath;

/// A failed step: what the caller is told, and what the backend does about it first.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) cause: Cause,
    /// Whether it may have been done all the same.
    pub(crate) certainty: Certainty,
    /// The server's or kernel's own words.
    pub(crate) detail: String,
    /// The connection is of no more use and must be replaced.
    pub(crate) lost: bool,
    /// Nothing was changed, so the whole call may be run once more.
    pub(crate) repeat: bool,
    /// What a removal has to tell apart and a caller does not.
    pub(crate) special: Special,
    /// How to find out whether an uncertain rename was done.
    pub(crate) settle: Option<Settle>,
}

/// Answers that mean something to a removal only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// Nothing special.
    None,
    /// In use at the moment (`EBUSY`, `NFS3ERR_JUKEBOX`): worth another look.
    Busy,
    /// A directory where a file was expected (`EISDIR`): somebody replaced it.
    IsDirectory,
}

/// What the target of a rename shows when the rename was done, and when it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settle {
    /// The renamed object: found at the target, the rename was done.
    pub(crate) moved: Identity,
    /// The empty directory that reserved the target, if there was one.
    pub(crate) reservation: Option<Identity>,
}

impl Failure {
    /// The server refused; nothing was changed.
    pub(crate) fn definite(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            certainty: Certainty::Definite,
            detail: detail.into(),
            lost: false,
            repeat: false,
            special: Special::None,
            settle: None,
        }
    }

    /// It may have been done.
    pub(crate) fn uncertain(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            certainty: Certainty::Uncertain,
            ..Self::definite(cause, detail)
        }
    }

    /// A component on the way is there and is no directory.
    pub(crate) fn not_a_directory(name: &str, kind: Kind) -> Self {
        Self::definite(
            Cause::NotADirectory,
            format!("`{name}` is {}", article(kind)),
        )
    }

    /// The object is no regular file, so there is no content to read or replace.
    pub(crate) fn not_a_file(kind: Kind) -> Self {
        let mut failure = Self::definite(
            Cause::Io,
            format!("it is {}, not a regular file", article(kind)),
        );
        if kind == Kind::Directory {
            failure.special = Special::IsDirectory;
        }
        failure
    }

    /// The root itself cannot be made, renamed, written or removed.
    pub(crate) fn is_the_root() -> Self {
        Self::definite(Cause::PermissionDenied, "this is the root of the export")
    }

    /// The same failure after something was changed that could not be undone: repeating the call
    /// would meet its own traces.
    pub(crate) fn after_a_change(mut self) -> Self {
        self.repeat = false;
        self
    }

    /// Whether another try may well succeed, on a new connection if need be.
    pub(crate) fn is_transient(&self) -> bool {
        self.lost
            || self.special == Special::Busy
            || matches!(
                self.cause,
                Cause::TimedOut | Cause::Unreachable | Cause::Stale
            )
    }

    /// What the caller is told.
    pub(crate) fn into_error(self, operation: &'static str, path: &RelativePath) -> StorageError {
        StorageError {
            operation,
            path: display(path),
            cause: self.cause,
            certainty: self.certainty,
            detail: self.detail,
        }
    }
}

/// A path as errors show it: `/` for the root, components otherwise.
pub(crate) fn display(path: &RelativePath) -> String {
    if path.is_root() {
        "/".to_owned()
    } else {
        path.to_string()
    }
}

/// The kind as part of a sentence.
const fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "a directory",
        Kind::File => "a file",
        Kind::Symlink => "a symbolic link",
        Kind::Other => "a device, socket or pipe",
    }
}

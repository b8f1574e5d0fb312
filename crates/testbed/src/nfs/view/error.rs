//! What goes wrong when an export is looked at.

use std::io;
use std::time::Duration;

use nfs3_client::{ConnectError, RpcError};
use nfs3_types::nfs3::nfsstat3;

/// Why an export could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The host has no address, or the name service is silent.
    #[error("find the address of export host {host}")]
    Resolve {
        /// The host as it was given.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// No connection, or the server denies the mount.
    #[error("mount export {export}")]
    Mount {
        /// Host, port and path.
        export: String,
        /// What the client says.
        source: ConnectError,
    },
    /// The server did not answer in time.
    #[error("{operation} {path:?} on export {export}: no answer within {limit:?}")]
    Timeout {
        /// What was asked, by the procedure's name.
        operation: &'static str,
        /// The path below the root.
        path: String,
        /// Host, port and path of the export.
        export: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The call did not get through, or its reply made no sense.
    #[error("{operation} {path:?} on export {export}: the call failed")]
    Call {
        /// What was asked, by the procedure's name.
        operation: &'static str,
        /// The path below the root.
        path: String,
        /// Host, port and path of the export.
        export: String,
        /// What the client says.
        source: RpcError,
    },
    /// The server refuses.
    #[error("{operation} {path:?} on export {export}: {status}")]
    Refused {
        /// What was asked, by the procedure's name.
        operation: &'static str,
        /// The path below the root.
        path: String,
        /// Host, port and path of the export.
        export: String,
        /// The status of RFC 1813, section 2.6.
        status: nfsstat3,
    },
    /// The path has a name that no export has.
    #[error("path {path:?}: names must not be `.`, `..` or contain NUL")]
    Path {
        /// The path as it was given.
        path: String,
    },
    /// The path is the root, which can't be made, moved or removed.
    #[error("{operation} on the root of export {export}: give the path of something below it")]
    Root {
        /// What was asked, by the procedure's name.
        operation: &'static str,
        /// Host, port and path of the export.
        export: String,
    },
    /// The directory behind the export could not be read.
    #[error("read {path} behind the export")]
    Local {
        /// The path on this machine.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

impl ViewError {
    /// The status the server refused with, if that is what happened.
    pub fn status(&self) -> Option<nfsstat3> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the server refused for lack of permission.
    pub fn is_permission_denied(&self) -> bool {
        matches!(
            self.status(),
            Some(nfsstat3::NFS3ERR_ACCES | nfsstat3::NFS3ERR_PERM)
        )
    }

    /// Whether there is no such thing on the export.
    pub fn is_missing(&self) -> bool {
        self.status() == Some(nfsstat3::NFS3ERR_NOENT)
    }
}

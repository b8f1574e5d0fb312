//! An `NFSv3` server in the process, over a real directory (RFC 1813, RFC 5531).
//!
//! MOUNT v3 and NFS v3 answer on one TCP port; there is no portmapper and nothing here needs root.
//! `AUTH_SYS` credentials of each call decide what it may do; `AUTH_NONE` is the anonymous user,
//! other flavours are refused. Handles stay valid while an object is renamed, also when that
//! happens in the directory itself, behind the server's back.
//!
//! Without the right to give files away, the owners that the protocol reports are kept in a table
//! of the server (`owners`). Names are made durable by the file system in its own time; `WRITE` with
//! a stability and `COMMIT` do sync.

mod access;
mod attributes;
mod connection;
mod directory;
mod dispatch;
mod duplicates;
mod export;
mod files;
mod filesystem;
mod handles;
mod hook;
mod mount;
mod names;
mod owners;
mod port;
mod procedures;
mod record;
mod rpc;
mod status;

pub use export::{EmbeddedError, EmbeddedExport, ExportOptions};
pub use hook::{Call, CallHook, Passthrough, Verdict};
/// The procedures of NFS v3 (RFC 1813, section 3.3), by which calls are counted.
pub use nfs3_types::nfs3::NFS_PROGRAM as Procedure;
pub use port::KeptPort;

// The fault proxy speaks the same protocol from the other side.
pub(crate) use record::{frame, read as read_record};
pub(crate) use rpc::{RpcCall, accepted, parse};

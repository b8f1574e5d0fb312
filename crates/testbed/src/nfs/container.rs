//! The NFS server of a cluster with real nodes: nfs-ganesha in a container, `NFSv3` and `NFSv4.1`,
//! over two directories of this machine.
//!
//! The suite looks into those directories but changes the export through the protocol only: the
//! server caches names and attributes, and does not see what happens behind its back.
//!
//! [`kill`], [`start_again`], [`clear`] and [`wait_ready`] need only what the state file says, so
//! that a case in another process can call them. Starting and owning a server stands behind the
//! feature `kind`. The image is made from `kind/images/nfs-server/`; no ready-made one is known that
//! is kept up, serves both versions from user space (so that killing its container kills it) and has
//! an export without and one with root squash.

mod control;
mod error;
#[cfg(feature = "kind")]
mod place;
mod ready;
#[cfg(feature = "kind")]
mod server;
#[cfg(feature = "kind")]
mod watch;

pub use control::{clear, kill, start_again};
pub use error::ContainerError;
pub use ready::{READY_LIMIT, wait_ready};
#[cfg(feature = "kind")]
pub use server::{ContainerExport, ContainerExportOptions};

/// The export without root squash, as a volume's `nfs.path` has it.
pub const EXPORT: &str = "/export";
/// The export that takes root for user 65534 (RFC 5531 leaves the number to the server).
pub const SQUASHED: &str = "/squashed";
/// TCP port of NFS.
pub const PORT: u16 = 2049;
/// TCP port of MOUNT version 3.
pub const MOUNT_PORT: u16 = 20048;

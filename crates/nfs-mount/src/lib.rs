//! A user-space `mount.nfs`: `NFSv3` (RFC 1813) over FUSE.
//!
//! It is for nodes whose kernel has no NFS client. A kubelet there calls `mount -t nfs`, which calls
//! this program by mount(8)'s helper interface. It starts itself again in the background; that
//! process serves the mount until it is unmounted. What the kernel's client gives and this does not
//! is told in `docs/nfs-mount.md`.
//!
//! The parts: [`run()`] is the front (arguments, waiting for the mount to answer), `serve` the
//! process in the background, `fs` the file system, `client` the calls of NFS, and `rpc` what
//! carries them: one TCP connection for all callers, each call with its caller's own identity.

mod arguments;
mod client;
mod error;
mod fs;
mod identity;
mod options;
mod rpc;
mod run;
mod serve;
mod source;
mod workers;

pub use run::{Program, run};

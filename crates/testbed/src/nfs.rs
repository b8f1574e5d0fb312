//! Exports over `NFSv3` (RFC 1813): a server in the process and a client's view of an export.
//!
//! `embedded` serves a real directory on one TCP port without root and without a portmapper.
//! `container` runs a server beside the nodes of a cluster, which serves `NFSv4.1` as well.
//! `view` looks at any export as a client does, and at the directory behind it where there is
//! one on this machine.

#[cfg(feature = "export-view")]
pub mod container;
#[cfg(feature = "embedded")]
pub mod embedded;
mod target;
#[cfg(feature = "export-view")]
pub mod view;

#[cfg(feature = "embedded")]
pub use embedded::{EmbeddedError, EmbeddedExport, ExportOptions};
pub use target::ExportTarget;
#[cfg(feature = "export-view")]
pub use view::{ExportView, FileKind, FileStat, Manifest, ManifestEntry, ViewError};

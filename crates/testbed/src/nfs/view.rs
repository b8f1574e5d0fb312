//! A client's view of an export: over `NFSv3` (RFC 1813), and at the directory behind it.
//!
//! Paths are relative to the export's root, with `/` between names; `""` is the root. Links are
//! never followed. Every call has a time limit. A connection that breaks is made anew: calls that
//! only look are repeated, a change is never sent twice, since nobody knows whether it happened.

mod client;
mod connection;
mod error;
mod local;
mod manifest;
mod operations;
mod walk;

pub use client::ExportView;
pub use error::ViewError;
pub use manifest::{FileKind, FileStat, Manifest, ManifestEntry};

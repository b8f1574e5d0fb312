//! Finds, downloads or builds the control plane's binaries.
//!
//! A tool comes from the first of these that has it: a path the user gives, the cache, the official
//! download with its published checksum, a build from a Go module whose `go.sum` is part of this
//! crate. A download whose checksum is wrong ends the search: it is refused by name, and nothing
//! else is tried in its stead.
//!
//! [`Tools::resolve`] does all of it and reports through [`Progress`]; nothing here prints.
//! Dropping its future stops the download or the Go build under way and removes what it had written.
//! The caller installs a rustls provider beforehand.

mod archive;
mod build;
mod cache;
mod checksum;
mod download;
mod error;
mod group;
mod options;
mod platform;
mod progress;
mod resolve;
mod tool;
pub mod versions;

pub use cache::{CacheRecord, Source};
pub use error::{Attempt, ToolError};
pub use options::{Mirrors, ToolOptions};
pub use platform::Platform;
pub use progress::{NoProgress, Progress, Stage, ToolEvent};
pub use resolve::{Origin, ResolvedTool, ToolSet, ToolState, ToolStatus, Tools};
pub use tool::{Tool, UnknownTool};

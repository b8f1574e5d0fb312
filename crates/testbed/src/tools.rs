//! Finds, downloads or builds the binaries of clusters: control plane, nodes, kind.
//!
//! A tool comes from the first of these that has it: a path the user gives, the cache, the official
//! download with its published checksum, a build from a Go module whose `go.sum` is part of this
//! crate. A download whose checksum is wrong ends the search: it is refused by name, and nothing
//! else is tried in its stead.
//!
//! [`Tools::resolve`] does all of it for the tools that are wanted ([`Tool::LOCAL`], [`Tool::KIND`],
//! [`Tool::NODE_IMAGE`]), and [`build_module`] builds any other Go command. Both report through
//! [`Progress`]; nothing here prints. Dropping their futures stops the download or the Go build under
//! way and removes what it had written.
//!
//! The caller installs a rustls provider beforehand.

mod archive;
mod build;
mod cache;
mod checksum;
mod command;
mod download;
mod error;
pub(crate) mod group;
mod modules;
mod options;
mod platform;
mod progress;
mod resolve;
mod set;
mod tool;
pub mod versions;

pub use cache::{CacheRecord, Source};
pub use command::{GoBinary, GoCommand, build_module};
pub use error::{Attempt, CommandError, ToolError};
pub use options::{Mirrors, ToolOptions};
pub use platform::Platform;
pub use progress::{Lines, NoProgress, Progress, Stage, ToolEvent};
pub use resolve::Tools;
pub use set::{Origin, ResolvedTool, ToolSet, ToolState, ToolStatus};
pub use tool::{Tool, UnknownTool};

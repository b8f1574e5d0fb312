//! What this machine can run, and what is missing for the rest.
//!
//! [`gather`] looks and decides nothing; [`judge`] decides and looks at nothing. What a machine must
//! have stands in `judge` alone.

mod facts;
mod gather;
mod judge;
mod needs;

pub use crate::images::NeededImage;
pub use facts::{Access, Daemon, DaemonFailure, Disk, Docker, Facts, Inotify, Reach, ToolCount};
pub use gather::gather;
pub use judge::judge;
pub use needs::{Check, Diagnosis, Verdict, Way, WayState};

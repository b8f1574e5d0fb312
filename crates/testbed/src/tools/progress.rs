//! What happens while tools are fetched, for whoever shows it.

use std::time::Duration;

use super::resolve::Origin;
use super::tool::Tool;

/// What is being done for a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Another run works on the same tool; this one waits for it.
    Waiting,
    /// The official download.
    Download,
    /// Taking the binary out of the downloaded archive.
    Unpack,
    /// A build from the Go module.
    Build,
}

impl Stage {
    /// The stage as a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Download => "download",
            Self::Unpack => "unpack",
            Self::Build => "build",
        }
    }
}

/// One thing that happened to a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolEvent {
    /// A stage began; the detail is an address or a package.
    Started {
        /// The stage.
        stage: Stage,
        /// What it works on.
        detail: String,
    },
    /// So much of a download has arrived.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, when the server says so.
        total: Option<u64>,
    },
    /// A stage is still at work. Comes at least every five seconds in stages without bytes.
    StillAt {
        /// The stage.
        stage: Stage,
        /// Since it began.
        elapsed: Duration,
        /// The last line it said, if any.
        line: Option<String>,
    },
    /// Something to know that does not end the search, for instance a source that gave nothing.
    Warning(String),
    /// The tool is there.
    Finished {
        /// Where it came from.
        origin: Origin,
        /// Since work on it began.
        elapsed: Duration,
    },
}

/// Receives events. Called from several tasks at once; must not block.
pub trait Progress: Send + Sync {
    /// Something happened to `tool`.
    fn on(&self, tool: Tool, event: ToolEvent);
}

impl<F: Fn(Tool, ToolEvent) + Send + Sync> Progress for F {
    fn on(&self, tool: Tool, event: ToolEvent) {
        self(tool, event);
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn on(&self, _tool: Tool, _event: ToolEvent) {}
}

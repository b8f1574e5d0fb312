//! The tools that are there, and what is there of each.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::cache::{CacheRecord, Source};
use super::tool::Tool;

/// Where a tool came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The user gave its path; nothing is known of its version.
    Given,
    /// The official download, now or earlier.
    Download,
    /// A build from the Go module, now or earlier.
    Build,
}

impl Origin {
    /// The origin as a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Download => "download",
            Self::Build => "build",
        }
    }
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        match source {
            Source::Download => Self::Download,
            Source::Build => Self::Build,
        }
    }
}

/// A tool that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolvedTool {
    /// Which tool.
    pub tool: Tool,
    /// Its binary, an absolute path.
    pub path: Utf8PathBuf,
    /// Its version with a leading `v`; unknown for a path the user gave.
    pub version: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// Size in bytes.
    pub size: u64,
    /// The address of the download or the Go package; none for a path the user gave.
    pub from: Option<String>,
}

impl ResolvedTool {
    pub(crate) fn cached(tool: Tool, path: Utf8PathBuf, record: CacheRecord) -> Self {
        Self {
            tool,
            path,
            version: Some(record.version),
            origin: record.source.into(),
            size: record.size,
            from: Some(record.from),
        }
    }
}

/// The tools that were wanted, all of them.
#[derive(Debug, Clone, Default)]
pub struct ToolSet(pub(crate) BTreeMap<Tool, ResolvedTool>);

impl ToolSet {
    /// The absolute path of a tool's binary.
    ///
    /// # Panics
    /// When the tool was not among those wanted.
    pub fn path(&self, tool: Tool) -> &Utf8Path {
        &self.get(tool).expect("the tool was resolved").path
    }

    /// A tool, if it was among those wanted.
    pub fn get(&self, tool: Tool) -> Option<&ResolvedTool> {
        self.0.get(&tool)
    }

    /// All tools, in the order of [`Tool::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &ResolvedTool> {
        self.0.values()
    }
}

/// What is there of a tool, without getting it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ToolState {
    /// Ready to be used.
    Present(ResolvedTool),
    /// Neither given nor in the cache.
    Missing,
    /// In the cache, but not as it was left; it is replaced when it is next resolved.
    Damaged {
        /// What is wrong with it.
        problem: String,
    },
}

/// A line of the list of tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolStatus {
    /// Which tool.
    pub tool: Tool,
    /// The version that is wanted, with a leading `v`.
    pub wanted: &'static str,
    /// What is there.
    pub status: ToolState,
}

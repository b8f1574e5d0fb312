//! Why a tool could not be had.

use std::fmt;
use std::io;

use camino::Utf8PathBuf;
use thiserror::Error;

use super::tool::Tool;

/// A source that was tried, or passed over, and why it gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried: `download <address>` or `build with <go>`.
    pub source: String,
    /// Why it gave nothing.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// Why the tools could not be had. Each text fits after "failed to".
#[derive(Debug, Error)]
pub enum ToolError {
    /// No binaries are published for this system.
    #[error("find tools for {found}: they exist for linux-x86_64 and linux-aarch64 only")]
    Platform {
        /// Operating system and processor of this machine.
        found: String,
    },
    /// Nothing says where the cache is.
    #[error(
        "choose a cache directory: none of CLAIMCHECK_CACHE, XDG_CACHE_HOME and HOME holds an \
         absolute path; set CLAIMCHECK_CACHE"
    )]
    NoCache,
    /// An environment variable is not text.
    #[error("read the environment variable {name}: its value is not UTF-8")]
    Variable {
        /// The variable.
        name: String,
    },
    /// A path the user gave is of no use.
    #[error("use `{path}` as {tool}: {problem}; give the path of an executable file")]
    Given {
        /// The tool.
        tool: Tool,
        /// The path as it was given.
        path: Utf8PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A download is not what its publisher published.
    #[error(
        "accept {tool} from {url}: its sha256 is {got}, but {publisher} publishes {expected}; \
         nothing of it was kept. If a mirror or proxy alters downloads, mend that, or give a \
         binary of your own with {}",
        tool.variable()
    )]
    WrongChecksum {
        /// The tool.
        tool: Tool,
        /// Where the download came from.
        url: String,
        /// Who published the checksum.
        publisher: String,
        /// The published sha256, in hexadecimal.
        expected: String,
        /// The sha256 of what arrived, in hexadecimal.
        got: String,
    },
    /// No source had the tool.
    #[error(
        "get {tool} {version}: {}. Make one of these work, name a mirror with \
         CLAIMCHECK_MIRROR_KUBERNETES, CLAIMCHECK_MIRROR_GITHUB or CLAIMCHECK_MIRROR_HELM, install \
         Go 1.26 or later, or give a binary of your own with {}",
        attempts.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; "),
        tool.variable()
    )]
    Unavailable {
        /// The tool.
        tool: Tool,
        /// Its version.
        version: &'static str,
        /// Each source that was tried, in order.
        attempts: Vec<Attempt>,
    },
    /// The HTTP client could not be made.
    #[error("make an HTTP client for downloads")]
    Client(#[source] reqwest::Error),
    /// The cache could not be read or written.
    #[error("{action} in the tool cache")]
    Cache {
        /// What was done, with its path.
        action: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ToolError {
    pub(crate) fn cache(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Cache {
            action: action.into(),
            source: source.into(),
        }
    }
}

/// Why a Go command that is no tool of the project could not be had. Each text fits after "failed
/// to".
#[derive(Debug, Error)]
pub enum CommandError {
    /// A Go module that pins a command could not be read.
    #[error("read the Go module in {directory}: it needs a go.mod and a go.sum")]
    Module {
        /// Where it was looked for.
        directory: Utf8PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A text that is no import path of a Go command.
    #[error(
        "build `{package}`: {problem}; give the import path of a command, for instance \
         example.org/module/cmd/name"
    )]
    Package {
        /// The text.
        package: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It could not be built.
    #[error(
        "build {package} with `{go}`: {reason}. Install Go 1.26 or later, or name a Go command \
         with CLAIMCHECK_GO"
    )]
    Build {
        /// The package of the command.
        package: String,
        /// The Go command.
        go: Utf8PathBuf,
        /// Why there is no binary.
        reason: String,
    },
    /// The cache could not be used.
    #[error(transparent)]
    Cache(#[from] ToolError),
}

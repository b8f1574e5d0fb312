//! Why an image could not be had.

use std::io;
use std::process::ExitStatus;

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::docker::DockerError;
use crate::tools::{CommandError, ToolError, versions};

/// Why an image could not be had.
#[derive(Debug, Error)]
pub enum ImageError {
    /// Docker could not be asked.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// `CLAIMCHECK_IMAGES` has a value that means nothing.
    #[error("CLAIMCHECK_IMAGES is `{value}`; allowed are `auto`, `pull`, `build`")]
    Policy {
        /// The value.
        value: String,
    },
    /// The image that the user named is neither there nor to be pulled.
    #[error("image `{reference}` is not in Docker, and cannot be pulled: {reason}")]
    Given {
        /// Its name.
        reference: String,
        /// Why it cannot be pulled.
        reason: String,
    },
    /// Only pulling is allowed, and it failed.
    #[error("{what} cannot be pulled: {reason}; CLAIMCHECK_IMAGES=auto would build it")]
    Pull {
        /// Which image.
        what: String,
        /// Why it cannot be pulled.
        reason: String,
    },
    /// A node image of this version of Kubernetes cannot be built.
    #[error(
        "there is no node image for Kubernetes {wanted}: {pull}; only {} can be built here. Name an \
         image that Docker has or can pull, or ask for {}",
        versions::KUBERNETES,
        versions::KUBERNETES
    )]
    Kubernetes {
        /// The version that was asked for.
        wanted: String,
        /// Why it was not pulled.
        pull: String,
    },
    /// The Debian image that all others are built on cannot be built here.
    #[error("a Debian image to build on cannot be had: {pull}; and it cannot be built: {problem}")]
    Base {
        /// Why it was not pulled.
        pull: String,
        /// What is missing for building it, and how to mend that.
        problem: String,
    },
    /// A tool that goes into the node image cannot be had.
    #[error("the node image cannot be built without its tools")]
    Tool(#[source] ToolError),
    /// kind's own files for node images cannot be had.
    #[error(
        "the node image cannot be built: the Go module of kind cannot be had by `{go}`: {reason}"
    )]
    KindFiles {
        /// The Go command.
        go: Utf8PathBuf,
        /// What it said.
        reason: String,
    },
    /// The Go program of an image can neither be pulled nor built.
    #[error("image `{published}` cannot be built of its Go module")]
    Go {
        /// The published image.
        published: String,
        /// Why there is no program.
        source: Box<CommandError>,
    },
    /// A recipe failed for want of Debian's packages.
    #[error(
        "building the {what} failed, since packages cannot be had from {mirror}: {said}; name a \
         mirror that this machine reaches, as in CLAIMCHECK_DEBIAN_MIRROR=http://HOST/debian; all \
         of its output is in {log}"
    )]
    Mirror {
        /// Which image.
        what: String,
        /// The mirror, for people.
        mirror: String,
        /// The end of its output.
        said: String,
        /// The file with its output.
        log: Utf8PathBuf,
    },
    /// A recipe failed.
    #[error("building the {what} failed ({status}): {said}; all of its output is in {log}")]
    Recipe {
        /// Which image.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        said: String,
        /// The file with its output.
        log: Utf8PathBuf,
    },
    /// A program cannot be put into an image.
    #[error("program {path} cannot be put into an image: {reason}")]
    Program {
        /// The program.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// The cache directory cannot be used.
    #[error("failed to {action} for building images")]
    Cache {
        /// What was done, with its path.
        action: String,
        /// The cause.
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn cache(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Cache {
            action: action.into(),
            source: source.into(),
        }
    }
}

//! What can be wrong with a subject.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;
use thiserror::Error;

/// Why a subject file is refused. Nothing was started.
#[derive(Debug, Error)]
pub enum SubjectError {
    /// The file, or a manifest it names, cannot be read.
    #[error("subject file {file}: cannot read {path}{hint}")]
    Read {
        /// The subject file, or the name of a built-in one.
        file: Utf8PathBuf,
        /// What could not be read.
        path: Utf8PathBuf,
        /// What may have been meant; empty or starting with `; `.
        hint: String,
        /// What the file system said.
        source: io::Error,
    },
    /// The text is no subject: a key that does not exist, a value of the wrong form.
    #[error("subject file {file}:{line}:{column}: {message}{hint}")]
    Form {
        /// The subject file, or the name of a built-in one.
        file: Utf8PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong.
        message: String,
        /// What may have been meant; empty or starting with `; `.
        hint: String,
    },
    /// A value has the right form but cannot be.
    #[error("subject file {file}: `{key}` {message}{hint}")]
    Value {
        /// The subject file, or the name of a built-in one.
        file: Utf8PathBuf,
        /// Path of the key: `start.process.command`.
        key: String,
        /// What is wrong.
        message: String,
        /// What may have been meant; empty or starting with `; `.
        hint: String,
    },
}

/// Why a subject did not start. The first three are mistakes of the subject's description, the rest
/// of the subject or of the testbed.
#[derive(Debug, Error)]
pub enum StartError {
    /// A manifest cannot be applied.
    #[error("subject `{subject}`: manifest {manifest} cannot be applied")]
    Manifest {
        /// The subject's name.
        subject: String,
        /// The manifest's path as the subject file has it.
        manifest: String,
        /// What the API said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No token for its `ServiceAccount`.
    #[error(
        "subject `{subject}`: no token for ServiceAccount {namespace}/{account}; let one of its \
         `manifests` create the account"
    )]
    Account {
        /// The subject's name.
        subject: String,
        /// The account's namespace.
        namespace: String,
        /// The account's name.
        account: String,
        /// What the API said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The path it insists on does not exist.
    #[error(
        "subject `{subject}`: the export cannot be bound to {path}, which is no directory; make it"
    )]
    BindTarget {
        /// The subject's name.
        subject: String,
        /// The path.
        path: Utf8PathBuf,
    },
    /// Its process cannot be started.
    #[error("subject `{subject}` cannot be started")]
    Process {
        /// The subject's name.
        subject: String,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It ended before it was ready.
    #[error(
        "subject `{subject}` ended before it was ready ({status}); log {log}, last lines:\n{tail}"
    )]
    Ended {
        /// The subject's name.
        subject: String,
        /// How its process ended.
        status: std::process::ExitStatus,
        /// Its log.
        log: Utf8PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// It did not become ready.
    #[error(
        "subject `{subject}` was not ready within {} s: {waited_for}; log {log}, last lines:\n{tail}",
        .limit.as_secs()
    )]
    NotReady {
        /// The subject's name.
        subject: String,
        /// What was waited for.
        waited_for: String,
        /// How long.
        limit: Duration,
        /// Its log.
        log: Utf8PathBuf,
        /// The last lines of its log.
        tail: String,
    },
}

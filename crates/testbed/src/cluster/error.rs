//! Why a cluster could not be brought up, or failed later.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::process::{Child, ProcessError};

/// Lines of a process's log that its death shows.
const TAIL: usize = 15;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A process on this machine.
    Process,
    /// A node in a container.
    Node,
}

/// A part of the cluster that ended by itself.
#[derive(Debug, Clone)]
pub struct Died {
    /// What kind of part.
    pub part: Part,
    /// Which one: `etcd`, or a container's name.
    pub process: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its log.
    pub log: Utf8PathBuf,
    /// The last lines of its log.
    pub tail: String,
}

impl Died {
    pub(super) fn of(child: &Child, status: ExitStatus) -> Self {
        Self {
            part: Part::Process,
            process: child.name().to_owned(),
            status,
            log: child.log().to_owned(),
            tail: child.tail(TAIL),
        }
    }

    /// Whether it ended because another process had its port.
    pub(super) fn for_want_of_its_port(&self) -> bool {
        self.tail.contains("address already in use")
    }
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part,
            process,
            status,
            log,
            tail,
        } = self;
        let part = match part {
            Part::Process => "process",
            Part::Node => "node",
        };
        write!(
            f,
            "{part} `{process}` of the cluster ended by itself ({status}); log {log}"
        )?;
        if tail.is_empty() {
            Ok(())
        } else {
            write!(f, ", last lines:\n{tail}")
        }
    }
}

/// Why a cluster is not up.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// A process ended during the boot.
    #[error("{0}")]
    Died(Died),
    /// A process could not be started.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A stage took too long.
    #[error("cluster did not come up: waited {} s for {stage}; logs are in {logs}", .limit.as_secs())]
    Slow {
        /// What was waited for.
        stage: &'static str,
        /// How long.
        limit: Duration,
        /// Where the logs are.
        logs: Utf8PathBuf,
    },
    /// Keys and certificates could not be made.
    #[error("cannot make certificates for the cluster")]
    Pki(#[from] rcgen::Error),
    /// Docker refused something. The source says what.
    #[cfg(feature = "kind")]
    #[error(transparent)]
    Docker(#[from] crate::docker::DockerError),
    /// kind ended with an error.
    #[cfg(feature = "kind")]
    #[error("kind did not create the cluster ({status}); log {log}, it says:\n{said}")]
    Kind {
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: Utf8PathBuf,
        /// The part of its log that says why.
        said: String,
    },
    /// What was asked for cannot be had here. The text says what is allowed.
    #[cfg(feature = "kind")]
    #[error("no cluster of kind `kind`: {0}")]
    Unfit(String),
    /// A file of the cluster could not be written. The source names the path.
    #[error("cannot write the cluster's files")]
    Io(#[from] io::Error),
    /// The new cluster's API refused what a cluster needs.
    #[error("cannot set up the cluster: {what}")]
    Api {
        /// What was asked for.
        what: &'static str,
        /// The API's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ClusterError {
    pub(super) fn api(
        what: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Api {
            what,
            source: Box::new(source),
        }
    }
}

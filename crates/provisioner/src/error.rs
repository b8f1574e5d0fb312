//! What can end the provisioner, and what each end means to whoever started it.

use crate::backend::StorageError;
use crate::clock::Fenced;
use crate::cluster::ApiError;
use crate::config::ConfigError;
use crate::decide::Refusal;

/// Why the provisioner ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or variable is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No client for the cluster could be made.
    #[error("set up the client for the cluster from {from}: {cause}")]
    Client {
        /// Where the credentials were looked for.
        from: String,
        /// What kube said.
        cause: String,
    },
    /// A permission without which nothing can be served.
    #[error("serve claims without these rights: {}", .0.join("; "))]
    Access(Vec<String>),
    /// The API refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The export refused or did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The lease could not be renewed in time, or somebody else holds it.
    #[error("keep the lease {lease}: {cause}")]
    LeaseLost {
        /// `namespace/name` of the lease.
        lease: String,
        /// What happened.
        cause: String,
    },
    /// A task that has to run as long as the process does has ended: a defect of ours.
    #[error("go on without {task}: it ended; the process starts anew")]
    Ended {
        /// Which task, in words.
        task: &'static str,
    },
    /// A command's answer is that something has to be mended first.
    #[error("call this good: {0}")]
    NotGood(String),
    /// A command cannot do what it was asked to, as things stand.
    #[error("{0}")]
    Command(String),
    /// A command's answer could not be written to standard output.
    #[error("write the answer: {0}")]
    Output(String),
    /// The HTTP port that was asked for cannot be had.
    #[error(
        "serve health and metrics at {address}: {cause}; set --http-address to a free one, or to off"
    )]
    Http {
        /// The address.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// The tracing subscriber was installed twice or its filter does not parse.
    #[error("set up logging: {0}")]
    Logging(String),
}

impl Error {
    /// A closed set of words for logs and metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Client { .. } => "client",
            Self::Access(_) => "access",
            Self::Api(_) => "api",
            Self::Storage(_) => "storage",
            Self::LeaseLost { .. } => "lease-lost",
            Self::Ended { .. } => "task-ended",
            Self::NotGood(_) => "not-good",
            Self::Command(_) => "command",
            Self::Output(_) => "output",
            Self::Http { .. } => "http",
            Self::Logging(_) => "logging",
        }
    }

    /// What the error is about, for the log field `object`.
    pub fn object(&self) -> String {
        match self {
            Self::Config(error) => error.setting().to_owned(),
            Self::Client { from, .. } => from.clone(),
            Self::Access(rules) => rules.join("; "),
            Self::Api(error) => error.object.clone(),
            Self::Storage(error) => error.path.clone(),
            Self::LeaseLost { lease, .. } => lease.clone(),
            Self::Ended { task } => (*task).to_owned(),
            Self::NotGood(_) | Self::Command(_) => "command".to_owned(),
            Self::Output(_) => "standard output".to_owned(),
            Self::Http { address, .. } => address.clone(),
            Self::Logging(_) => "logging".to_owned(),
        }
    }

    /// The exit code of `nfs-provisioner`: 2 for usage, 3 for a command whose answer is that
    /// something has to be mended first, 1 for everything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::NotGood(_) => 3,
            Self::Client { .. }
            | Self::Access(_)
            | Self::Api(_)
            | Self::Storage(_)
            | Self::LeaseLost { .. }
            | Self::Ended { .. }
            | Self::Command(_)
            | Self::Output(_)
            | Self::Http { .. }
            | Self::Logging(_) => 1,
        }
    }
}

/// Why one step for a claim or volume did not succeed. It is told in an event and tried again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// The claim cannot be served as things stand.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The API refused or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The export refused or did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The lease is not ours any more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// What is mounted or served is not the export the volumes lie on.
    #[error("recognise the export: {0}")]
    Export(String),
    /// It took longer than an attempt may.
    #[error("finish within {0:?}; the work goes on from its record")]
    TimedOut(std::time::Duration),
}

impl StepError {
    /// A closed set of words for logs and metrics.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Api(error) => error.cause.category(),
            Self::Storage(error) => error.cause.category(),
            Self::Fenced(_) => "fenced",
            Self::Export(_) => "export",
            Self::TimedOut(_) => "attempt-timed-out",
        }
    }

    /// What was being done, for the log field `step`: the storage call, the verb of the API call,
    /// or the part of the decision.
    pub const fn step(&self) -> &'static str {
        match self {
            Self::Refused(_) => "decide",
            Self::Api(error) => error.verb,
            Self::Storage(error) => error.operation,
            Self::Fenced(_) => "check-lease",
            Self::Export(_) => "confirm-export",
            Self::TimedOut(_) => "attempt",
        }
    }
}

//! Why a mount is not made, and the exit code that mount(8) expects for it.

use std::io;
use std::net::SocketAddr;

/// Why a mount is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The command line makes no sense.
    #[error("{0}; usage: mount.nfs SERVER:/PATH DIRECTORY [-sfnvrw] [-o OPTIONS] [-t TYPE]")]
    Usage(String),
    /// An option that is not known.
    #[error("option {name:?}: not known; drop it, or mount on a node whose kernel has NFS")]
    UnknownOption {
        /// The option without its value.
        name: String,
    },
    /// An option with a value that it can't have here.
    #[error("option {name}={value}: {allowed}")]
    Value {
        /// The option.
        name: String,
        /// The value that was given.
        value: String,
        /// What is allowed, and how to mend it.
        allowed: String,
    },
    /// The source is not `server:/path`.
    #[error("source {given:?}: give SERVER:/PATH, an IPv6 address in brackets")]
    Source {
        /// The source as it was given.
        given: String,
    },
    /// The place to mount on can't be used.
    #[error("mount on {path}: give a directory that exists")]
    Target {
        /// The place as it was given.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses something this program needs.
    #[error("{what}")]
    System {
        /// What was tried, and how to mend it.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The host has no address.
    #[error("find the address of server {host}")]
    Resolve {
        /// The host as it was given.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server can't be reached, or does not answer.
    #[error("ask {service} at {address}")]
    Unreachable {
        /// Which service of the server.
        service: &'static str,
        /// Where it was looked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The server refuses the mount.
    #[error("server {server} refuses to mount {path}: {status}")]
    Refused {
        /// The server as it was given.
        server: String,
        /// The exported path that was asked for.
        path: String,
        /// The status of MOUNT or NFS.
        status: String,
    },
    /// The process in the background ended before the mount answered, and said why.
    #[error("{0}")]
    Told(String),
}

impl MountError {
    /// The exit code of mount(8): 1 for a wrong call, 2 for the system, 32 for the mount.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::UnknownOption { .. }
            | Self::Value { .. }
            | Self::Source { .. } => 1,
            Self::System { .. } => 2,
            Self::Target { .. }
            | Self::Resolve { .. }
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::Told(_) => 32,
        }
    }

    /// The whole chain of causes on one line.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

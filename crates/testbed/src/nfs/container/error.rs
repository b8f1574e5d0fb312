//! Why the NFS server's container could not be started, or failed later.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use camino::Utf8PathBuf;
use thiserror::Error;

use crate::docker::DockerError;

/// Why an NFS server in a container is not to be had.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// A directory that is to be exported cannot be made or looked at.
    #[error("make the directory {path}, which is to be exported")]
    Directory {
        /// The directory on this machine.
        path: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The server finds files by handles (`name_to_handle_at(2)`), which not every file system has.
    #[error(
        "cannot export {path}: it is on {found}, and the NFS server needs {allowed}; set CLAIMCHECK_HOME to a directory on one of these"
    )]
    FileSystem {
        /// The directory on this machine.
        path: Utf8PathBuf,
        /// The file system's name, or its number of statfs(2).
        found: String,
        /// The file systems that it may be on.
        allowed: &'static str,
    },
    /// The image is not on this machine.
    #[error("there is no image `{image}` of the NFS server on this machine")]
    Image {
        /// The reference that was given.
        image: String,
        /// What Docker says.
        source: DockerError,
    },
    /// Another testbed has a container of this name.
    #[error(
        "the name of container `{container}` is taken by one that is not of this testbed; remove it: `docker rm -f {container}`"
    )]
    Taken {
        /// Its name.
        container: String,
    },
    /// The container cannot be made or started.
    #[error("start container `{container}` of the NFS server from image `{image}`")]
    Start {
        /// Its name.
        container: String,
        /// The image.
        image: String,
        /// What the library says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The container cannot be removed.
    #[error("remove container `{container}` of the NFS server: `docker rm -f -v {container}`")]
    Remove {
        /// Its name.
        container: String,
        /// What the library says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A call of Docker failed.
    #[error("{what} container `{container}` of the NFS server")]
    Docker {
        /// What was to be done, as a verb.
        what: &'static str,
        /// Its name.
        container: String,
        /// What Docker says.
        source: DockerError,
    },
    /// The export does not answer.
    #[error("the NFS server at {server} did not answer within {limit:?}")]
    NotReady {
        /// Address and port.
        server: String,
        /// How long was waited.
        limit: Duration,
        /// The last attempt.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The container ended, and nobody had asked for it.
    #[error(
        "container `{container}` of the NFS server ended with code {code}; the end of its log:\n{log}"
    )]
    Ended {
        /// Its name.
        container: String,
        /// Its exit code; 137 after SIGKILL.
        code: String,
        /// The last lines of its log.
        log: String,
    },
    /// Docker's events ended, so that nobody watches the server any more.
    #[error("Docker stopped telling events of container `{container}`; is its daemon running?")]
    Unwatched {
        /// Its name.
        container: String,
    },
}

/// Why a server does not speak `NFSv4`.
#[derive(Debug, Error)]
pub(crate) enum NullError {
    /// No connection, or it broke.
    #[error("call NULL of NFSv4 at {server}")]
    Io {
        /// Address and port.
        server: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The answer is no acceptance (RFC 5531, section 9).
    #[error("NULL of NFSv4 was not accepted by {server}: {answer}")]
    Refused {
        /// Address and port.
        server: SocketAddr,
        /// The words of the answer, in hexadecimal.
        answer: String,
    },
}

impl ContainerError {
    pub(crate) fn docker(what: &'static str, container: &str) -> impl FnOnce(DockerError) -> Self {
        move |source| Self::Docker {
            what,
            container: container.to_owned(),
            source,
        }
    }
}

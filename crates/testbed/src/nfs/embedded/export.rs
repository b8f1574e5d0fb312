//! Starting and stopping an export.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Procedure;
use super::connection;
use super::dispatch::Service;
use super::duplicates::Duplicates;
use super::filesystem::FileSystem;
use super::hook::{CallHook, Counters, Passthrough};
use super::mount::Mounts;
use crate::nfs::ExportTarget;

/// How many calls block on the file system at once.
const WORKERS: usize = 16;

/// What is exported, and where.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// The directory to serve; it must exist.
    pub directory: Utf8PathBuf,
    /// The path that clients mount, such as `/export`. Directories below it can be mounted too.
    pub export_path: String,
    /// Where to listen; port 0 lets the system choose one.
    pub bind: SocketAddr,
    /// Whether user 0 and group 0 become the anonymous 65534.
    pub root_squash: bool,
}

/// Why an export was not started.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The directory is missing, no directory, or may not be used.
    #[error("serve directory {directory}: it must be a directory that this process may write to")]
    Directory {
        /// The directory as it was given.
        directory: Utf8PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The exported path can't be mounted.
    #[error(
        "export as {path:?}: the path must start with `/` and have neither `..` nor a `/` at its end"
    )]
    Path {
        /// The path as it was given.
        path: String,
    },
    /// The address can't be listened on.
    #[error("listen on {address}: choose a free port, or port 0 for any")]
    Listen {
        /// The address as it was given.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A running export. It stops when it is dropped.
pub struct EmbeddedExport {
    directory: Utf8PathBuf,
    address: SocketAddr,
    service: Arc<Service>,
    stopped: CancellationToken,
    connections: TaskTracker,
}

impl std::fmt::Debug for EmbeddedExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedExport")
            .field("directory", &self.directory)
            .field("address", &self.address)
            .field("export_path", &self.service.export_path)
            .finish_non_exhaustive()
    }
}

impl EmbeddedExport {
    /// Starts to serve. Clients can mount as soon as this returns.
    ///
    /// # Errors
    /// When the directory, the path or the address can't be used.
    pub async fn start(options: ExportOptions) -> Result<Self, EmbeddedError> {
        Self::start_with_hook(options, Arc::new(Passthrough)).await
    }

    /// Starts to serve without ever waiting for the disk, as the etcd of a local cluster does not:
    /// for measurements, after which nothing is needed any more.
    ///
    /// # Errors
    /// When the directory, the path or the address can't be used.
    pub async fn start_volatile(options: ExportOptions) -> Result<Self, EmbeddedError> {
        Self::begin(options, Arc::new(Passthrough), false).await
    }

    /// Starts to serve, with `hook` asked before every call of NFS.
    ///
    /// # Errors
    /// When the directory, the path or the address can't be used.
    pub async fn start_with_hook(
        options: ExportOptions,
        hook: Arc<dyn CallHook>,
    ) -> Result<Self, EmbeddedError> {
        Self::begin(options, hook, true).await
    }

    async fn begin(
        options: ExportOptions,
        hook: Arc<dyn CallHook>,
        durable: bool,
    ) -> Result<Self, EmbeddedError> {
        let ExportOptions {
            directory,
            export_path,
            bind,
            root_squash,
        } = options;
        if !mountable(&export_path) {
            return Err(EmbeddedError::Path { path: export_path });
        }
        let mut fs = open_directory(&directory, root_squash)?;
        fs.durable = durable;
        let listen = |source| EmbeddedError::Listen {
            address: bind,
            source,
        };
        let listener = TcpListener::bind(bind).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let service = Arc::new(Service {
            fs,
            export_path,
            counters: Counters::default(),
            hook,
            mounts: Mounts::default(),
            duplicates: Duplicates::default(),
        });
        let stopped = CancellationToken::new();
        let connections = TaskTracker::new();
        connections.spawn(accept(
            listener,
            Arc::clone(&service),
            stopped.clone(),
            connections.clone(),
        ));
        tracing::debug!(export = %service.export_path, path = %directory, %address, "export started");
        Ok(Self {
            directory,
            address,
            service,
            stopped,
            connections,
        })
    }

    /// The port that MOUNT and NFS answer on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where the export is found, for a client on this machine or wherever the address is reached.
    pub fn info(&self) -> ExportTarget {
        ExportTarget {
            host: self.address.ip().to_string(),
            port: self.port(),
            mount_port: self.port(),
            path: self.service.export_path.clone(),
            directory: Some(self.directory.clone()),
        }
    }

    /// The served directory.
    pub fn directory(&self) -> &Utf8Path {
        &self.directory
    }

    /// How many calls of a procedure have been carried out since the start.
    pub fn calls(&self, procedure: Procedure) -> u64 {
        self.service.counters.read(procedure)
    }

    /// Whether owners are on the file system. Without the right to give files away they are kept
    /// in a table of the server, and only the protocol tells them.
    pub fn keeps_real_owners(&self) -> bool {
        !self.service.fs.owners.is_table()
    }

    /// Stops to serve: no more connections are taken, those there are end, calls that run are
    /// finished, and the port is free.
    pub async fn stop(self) {
        self.stopped.cancel();
        self.connections.close();
        self.connections.wait().await;
    }
}

impl Drop for EmbeddedExport {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

fn mountable(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains('\0')
        && (path == "/" || !path.ends_with('/'))
        && !path.split('/').any(|part| part == "..")
}

fn open_directory(directory: &Utf8Path, root_squash: bool) -> Result<FileSystem, EmbeddedError> {
    // Any number will do that an earlier start did not have.
    let (instance, _) = uuid::Uuid::new_v4().as_u64_pair();
    FileSystem::new(directory.as_std_path(), root_squash, instance).map_err(|source| {
        EmbeddedError::Directory {
            directory: directory.to_owned(),
            source,
        }
    })
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    stopped: CancellationToken,
    connections: TaskTracker,
) {
    let workers = Arc::new(Semaphore::new(WORKERS));
    loop {
        let accepted = tokio::select! {
            () = stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection::serve(
                    stream,
                    peer,
                    Arc::clone(&service),
                    Arc::clone(&workers),
                    stopped.clone(),
                    connections.clone(),
                ));
            }
            Err(error) => {
                // Descriptors ran short, say. The client is still queued; a pause avoids a busy loop.
                tracing::warn!(%error, "connection to the export was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

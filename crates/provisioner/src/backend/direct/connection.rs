//! The mounted export: made on demand, shared by every call, replaced when it is lost.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use nfs_rs::Mount;

use crate::backend::Cause;
use crate::backend::failure::Failure;

use super::error::{looking_at_root, mounting};
use super::known::Known;
use super::options::{DirectOptions, Version};

/// How long one attempt to mount may take in all: name, portmapper, MOUNT, and the crate's look
/// for the ACL extension, each of which may wait five seconds. It outlives the call that started
/// it, so a call with a shorter limit does not keep the next one from ever getting through.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How long a goodbye may take.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(5);

/// A mounted export. The crate sends calls in parallel over one connection, so one suffices.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) mount: Box<dyn Mount>,
    /// Handle of the export's root.
    pub(crate) root: bytes::Bytes,
    pub(crate) known: Known,
    id: u64,
}

type Attempt = Shared<BoxFuture<'static, Result<Arc<Session>, Failure>>>;

#[derive(Debug)]
enum Slot {
    Empty,
    Connecting(u64, Attempt),
    Ready(Arc<Session>),
}

/// The place of the current session.
#[derive(Debug)]
pub(crate) struct Connection {
    options: Arc<DirectOptions>,
    slot: Mutex<Slot>,
    next: AtomicU64,
}

impl Connection {
    pub(crate) fn new(options: DirectOptions) -> Self {
        Self {
            options: Arc::new(options),
            slot: Mutex::new(Slot::Empty),
            next: AtomicU64::new(1),
        }
    }

    /// The current session, or a new one. Calls that come meanwhile wait for the same attempt.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Failure> {
        let (id, attempt) = {
            let mut slot = self.slot();
            match &*slot {
                Slot::Ready(session) => return Ok(Arc::clone(session)),
                Slot::Connecting(id, attempt) => (*id, attempt.clone()),
                Slot::Empty => {
                    let id = self.next.fetch_add(1, Ordering::Relaxed);
                    let attempt = start(Arc::clone(&self.options), id);
                    *slot = Slot::Connecting(id, attempt.clone());
                    (id, attempt)
                }
            }
        };
        let result = attempt.await;
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Connecting(current, _) if *current == id) {
            *slot = match &result {
                Ok(session) => Slot::Ready(Arc::clone(session)),
                Err(_) => Slot::Empty,
            };
        }
        result
    }

    /// Gives up a session. Calls still on it end on it; the next call gets another one.
    pub(crate) fn discard(&self, session: &Session) {
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Ready(current) if current.id == session.id) {
            *slot = Slot::Empty;
        }
    }

    /// Gives up whatever session is current. An attempt that is under way goes on.
    pub(crate) fn discard_current(&self) {
        let mut slot = self.slot();
        if matches!(&*slot, Slot::Ready(_)) {
            *slot = Slot::Empty;
        }
    }

    /// Unmounts. UNMNT is advisory for version 3; for version 4 it ends the session.
    pub(crate) async fn close(&self) {
        let before = std::mem::replace(&mut *self.slot(), Slot::Empty);
        if let Slot::Ready(session) = before {
            match tokio::time::timeout(UNMOUNT_LIMIT, session.mount.umount()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the server did not take the unmount"),
                Err(_) => tracing::debug!("the server did not answer the unmount"),
            }
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Mounts in a task of its own.
fn start(options: Arc<DirectOptions>, id: u64) -> Attempt {
    let task = tokio::spawn(async move {
        tokio::time::timeout(CONNECT_LIMIT, connect(&options, id))
            .await
            .unwrap_or_else(|_| {
                Err(lost(
                    Cause::TimedOut,
                    format!("no mount within {CONNECT_LIMIT:?}"),
                ))
            })
    });
    async move {
        task.await.unwrap_or_else(|error| {
            Err(lost(
                Cause::Unreachable,
                format!("the attempt to mount ended: {error}"),
            ))
        })
    }
    .boxed()
    .shared()
}

/// Tries every address of the server in turn.
async fn connect(options: &DirectOptions, id: u64) -> Result<Arc<Session>, Failure> {
    let export = format!("{}:{}", options.server, options.export);
    let mut last = lost(
        Cause::Unreachable,
        format!("`{}` has no address", options.server),
    );
    for address in addresses(options).await? {
        if address.is_ipv6() && options.version == Version::V3 {
            last = lost(
                Cause::Unreachable,
                format!(
                    "{address}: the client crate has no version 3 over IPv6; use version 4.1 or \
                     the mount backend"
                ),
            );
            continue;
        }
        match nfs_rs::parse_url_and_mount(&options.url(address)).await {
            Ok(mount) => {
                let root = mount.getfh().await;
                if let Err(error) = mount.getattr(root.clone()).await {
                    return Err(looking_at_root(&error, &export));
                }
                tracing::debug!(%export, %address, version = options.version.as_str(), "mounted");
                return Ok(Arc::new(Session {
                    mount,
                    root,
                    known: Known::default(),
                    id,
                }));
            }
            Err(error) => last = mounting(&error, &export),
        }
    }
    Err(last)
}

/// Resolves the name without blocking a worker, and without asking anybody for an address.
async fn addresses(options: &DirectOptions) -> Result<Vec<IpAddr>, Failure> {
    let server = options.server.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = server.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let found = tokio::net::lookup_host((server, options.lookup_port()))
        .await
        .map_err(|error| {
            lost(
                Cause::Unreachable,
                format!("cannot resolve the server name `{server}` here: {error}"),
            )
        })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address: SocketAddr| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// Nothing was sent to the export.
fn lost(cause: Cause, detail: String) -> Failure {
    Failure {
        lost: true,
        ..Failure::definite(cause, detail)
    }
}

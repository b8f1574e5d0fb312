//! A proxy before an `NFSv3` server on TCP (RFC 1813, RFC 5531): takes records apart, names every
//! call by procedure and path, and does to it what its plan says.
//!
//! Paths are learnt from the answers of MNT, LOOKUP and the calls that make something, so a call
//! that has only a handle (WRITE, GETATTR) is named too. A handle that was never seen in an answer
//! has the path `?`. The server may be any; its MOUNT protocol must answer on the same port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use nfs3_types::nfs3::nfsstat3;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gate::Gate;
use super::plan::Plan;

mod call;
mod handles;
mod wire;

pub use call::NfsCall;
/// The statuses a call can be refused with (RFC 1813, section 2.6).
pub use nfs3_types::nfs3::nfsstat3 as Status;

use handles::Handles;

/// A status that a call is answered with.
///
/// Only calls that have a status can be refused: NULL, and programs other than NFS and MOUNT, are
/// passed on.
#[derive(Clone, Copy)]
pub struct Refusal(pub nfsstat3);

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The plan of an [`NfsProxy`].
pub type NfsPlan = Plan<NfsCall, Refusal>;

/// What the connections of a proxy share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    plan: NfsPlan,
    handles: Handles,
    gate: Gate,
}

/// A running proxy. It ends with all its connections when it is dropped.
#[derive(Debug)]
pub struct NfsProxy {
    port: u16,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl NfsProxy {
    /// Listens on a free port of the loopback address and serves what `server` serves.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            server,
            plan: NfsPlan::default(),
            handles: Handles::default(),
            gate: Gate::new(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, shared.clone(), stop.clone()));
        Ok(Self {
            port,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// The port of NFS and MOUNT.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its rules and its log.
    pub fn plan(&self) -> &NfsPlan {
        &self.shared.plan
    }

    /// Makes the export vanish (`true`: connections end, new ones are closed as soon as they are
    /// made) or come back.
    pub fn set_away(&self, away: bool) {
        self.shared.gate.set_away(away);
    }

    /// Ends all connections once.
    pub fn disconnect(&self) {
        self.shared.gate.disconnect();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((client, _)) = accepted else { continue };
        let gate = shared.gate.watch();
        if gate.borrow().away {
            continue;
        }
        let (shared, stop) = (shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = super::gate::changed(gate) => {}
                () = wire::serve(client, shared) => {}
            }
        });
    }
}

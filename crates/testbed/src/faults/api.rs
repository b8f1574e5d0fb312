//! A proxy before a kube-apiserver: takes requests apart, names every call by verb, resource and
//! object, and does to it what its plan says.
//!
//! Clients reach it by TLS with a kubeconfig that [`ApiProxy::kubeconfig`] makes. Bearer tokens
//! pass through, so the API server sees the client's own rights; client certificates cannot pass
//! through. Watches are passed on as streams. HTTP/1.1 only: one call at a time has a connection, so
//! cutting it concerns that call alone. Upgrades (exec, port-forward) are not passed on.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gate::Gate;
use super::plan::Plan;

mod answer;
mod call;
mod serve;
mod tls;
mod upstream;
mod warnings;

pub use answer::Status;
pub use call::ApiCall;
pub use warnings::Warned;

use tls::Tls;
use upstream::Upstream;
use warnings::Warnings;

/// Name of the one cluster, user and context of the kubeconfig.
const NAME: &str = "claimcheck";

/// The plan of an [`ApiProxy`].
pub type ApiPlan = Plan<ApiCall, Status>;

/// Why a proxy was not started.
#[derive(Debug, thiserror::Error)]
pub enum ApiProxyError {
    /// The kubeconfig of the real server cannot be used.
    #[error("read {path}: it must name a server that this process can reach")]
    Kubeconfig {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No certificate could be made.
    #[error("make a certificate for 127.0.0.1")]
    Certificate {
        /// What the library says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No port can be had.
    #[error("listen on a free port of 127.0.0.1")]
    Listen {
        /// What the system says.
        #[from]
        source: io::Error,
    },
}

/// What the connections of a proxy share.
struct Shared {
    upstream: Upstream,
    plan: ApiPlan,
    gate: Gate,
    warnings: Warnings,
}

/// A running proxy. It ends with all its connections when it is dropped.
pub struct ApiProxy {
    port: u16,
    authority: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl std::fmt::Debug for ApiProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiProxy")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl ApiProxy {
    /// Listens on a free port of the loopback address, before the server that the current context
    /// of `kubeconfig` names. Its credentials are not used. A process-wide rustls provider must be
    /// installed.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or no port can be had.
    pub async fn start(kubeconfig: &Utf8Path) -> Result<Self, ApiProxyError> {
        let upstream = Upstream::of(kubeconfig).await?;
        let tls = Tls::new()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            plan: ApiPlan::default(),
            gate: Gate::new(),
            warnings: Warnings::default(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, tls.acceptor, shared.clone(), stop.clone()));
        Ok(Self {
            port,
            authority: tls.authority,
            shared,
            _stop: stop.drop_guard(),
        })
    }

    /// The text of a kubeconfig (JSON, which is YAML) for a client with this bearer token.
    pub fn kubeconfig(&self, token: &str, namespace: &str) -> String {
        let authority = upstream::base64(self.authority.as_bytes());
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": NAME, "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority-data": authority,
            } }],
            "users": [{ "name": NAME, "user": { "token": token } }],
            "contexts": [{
                "name": NAME,
                "context": { "cluster": NAME, "user": NAME, "namespace": namespace },
            }],
            "current-context": NAME,
        });
        format!("{config:#}\n")
    }

    /// Its rules and its log.
    pub fn plan(&self) -> &ApiPlan {
        &self.shared.plan
    }

    /// The warnings that the server has sent with its answers until now, also with answers that a
    /// fault kept from the client.
    pub fn warnings(&self) -> Vec<Warned> {
        self.shared.warnings.all()
    }

    /// Takes the API away (`true`: connections end, watches too; new ones are closed as soon as
    /// they are made) or brings it back.
    pub fn set_away(&self, away: bool) {
        self.shared.gate.set_away(away);
    }

    /// Ends all connections once, watches too.
    pub fn disconnect(&self) {
        self.shared.gate.disconnect();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
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
        let (acceptor, shared, stop) = (acceptor.clone(), shared.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = super::gate::changed(gate) => {}
                () = serve::serve(client, acceptor, shared) => {}
            }
        });
    }
}

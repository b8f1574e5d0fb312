//! A wire that loses what it is told to: the testbed's fault proxy, with one rule at a time.

use std::net::SocketAddr;
use std::sync::Mutex;

use testbed::faults::nfs::NfsProxy;
use testbed::faults::{Fault, Rule, When};

/// What to lose, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The request reaches the server, the answer is lost with the connection.
    Answer(&'static str),
    /// The connection ends before the request reaches the server.
    Request(&'static str),
}

pub(crate) const MKDIR: &str = "MKDIR";
pub(crate) const REMOVE: &str = "REMOVE";
pub(crate) const RENAME: &str = "RENAME";

pub(crate) struct Proxy {
    pub(crate) port: u16,
    inner: NfsProxy,
    rule: Mutex<Option<Rule>>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let inner = NfsProxy::start(server).await.unwrap();
        Self {
            port: inner.port(),
            inner,
            rule: Mutex::new(None),
        }
    }

    /// Loses the next matching call.
    pub(crate) fn lose(&self, loss: Loss) {
        let (procedure, fault) = match loss {
            Loss::Answer(procedure) => (procedure, Fault::CommitThenCut),
            Loss::Request(procedure) => (procedure, Fault::Cut),
        };
        let when = When::first(1, move |call: &testbed::faults::nfs::NfsCall| {
            call.procedure == procedure
        });
        *self.rule.lock().unwrap() = Some(self.inner.plan().set(when, fault));
    }

    /// Whether what was to be lost is lost.
    pub(crate) fn lost(&self) -> bool {
        let rule = self.rule.lock().unwrap();
        rule.as_ref().is_some_and(|rule| rule.hits() == 1)
    }
}

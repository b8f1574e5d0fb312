//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second for one at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// What signals have come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts {
    /// Cancelled by the first signal.
    pub(crate) first: CancellationToken,
    /// Cancelled by the second.
    pub(crate) second: CancellationToken,
}

impl Interrupts {
    /// Listens from now on, for as long as the process lives.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind).map_err(|error| {
                Failure::defect(anyhow::Error::from(error).context("cannot listen for signals"))
            })
        };
        let mut interrupt = open(SignalKind::interrupt())?;
        let mut terminate = open(SignalKind::terminate())?;
        let mut hang_up = open(SignalKind::hangup())?;
        let interrupts = Self::default();
        let heard = interrupts.clone();
        tokio::spawn(async move {
            for token in [heard.first, heard.second] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(interrupts)
    }
}

//! SIGTERM and SIGINT from the first moment on.
//!
//! Until somebody listens a signal would end the process as if it had been killed, and the first
//! process of a container would not notice it at all. So both are held back as the first thing of
//! `main`, and let through once there is somebody to hear them.

use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Error;

/// What asks the process to stop.
fn asking() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

/// Holds SIGTERM and SIGINT back until [`crate::cli::run`] listens, or, in commands that answer and
/// end, lets them do what they usually do. To be called first of all, while there is one thread:
/// those that come later inherit it.
pub fn hold_signals() {
    // It fails for a wrong argument only, and there is none.
    let _ = asking().thread_block();
}

/// Lets through what was held back.
pub(super) fn release() {
    let _ = asking().thread_unblock();
}

/// Cancels `shutdown` at the first signal, be it one that was held back, until dropped.
///
/// # Errors
/// [`Error::Logging`] when the process cannot watch signals.
pub(super) fn stop_on_signal(shutdown: CancellationToken) -> Result<AbortOnDropHandle<()>, Error> {
    let watch =
        |kind| signal(kind).map_err(|error| Error::Logging(format!("watch signals: {error}")));
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    release();
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        shutdown.cancel();
    })))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::raise;

    use super::*;

    /// On one thread, as in a process that has no other yet. What is sent goes to this thread only.
    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_listens_waits_until_somebody_does() {
        hold_signals();
        let held = SigSet::thread_get_mask().unwrap();
        assert!(held.contains(Signal::SIGTERM) && held.contains(Signal::SIGINT));
        // Without that it would be the end of the process.
        raise(Signal::SIGTERM).unwrap();
        let shutdown = CancellationToken::new();
        let _listening = stop_on_signal(shutdown.clone()).unwrap();
        let heard = tokio::time::timeout(Duration::from_mins(1), shutdown.cancelled()).await;
        assert!(heard.is_ok());
        let held = SigSet::thread_get_mask().unwrap();
        assert!(!held.contains(Signal::SIGTERM) && !held.contains(Signal::SIGINT));
    }
}

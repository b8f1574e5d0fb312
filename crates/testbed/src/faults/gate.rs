//! Whether a proxy can be reached at all.

use tokio::sync::watch;

/// The state of a proxy's listener. Every change ends the connections there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) away: bool,
    epoch: u64,
}

/// Opens and closes a proxy.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<State>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// A view that sees changes from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// From now on, connections are closed as soon as they are made; those there are end.
    pub(crate) fn set_away(&self, away: bool) {
        self.0.send_modify(|state| {
            state.away = away;
            state.epoch += 1;
        });
    }

    /// Ends the connections there are; new ones are served.
    pub(crate) fn disconnect(&self) {
        self.0.send_modify(|state| state.epoch += 1);
    }
}

/// Ends when the state changes, or the proxy is gone.
pub(crate) async fn changed(mut state: watch::Receiver<State>) {
    // An error means that the proxy is gone, and its connections with it.
    let _ = state.changed().await;
}

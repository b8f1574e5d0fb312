//! How long a call waits, and what ends the wait early.

use std::time::{Duration, Instant};

use crate::identity::Caller;

/// How often a wait looks whether it should end.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// What a call waits for besides its answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// Who waits. The wait ends when it is killed, and when it is on its way out while the server
    /// is silent.
    pub(crate) caller: Option<Caller>,
    /// When the wait ends for want of time.
    pub(crate) until: Option<Instant>,
}

/// Why a wait ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The caller was killed.
    Killed,
    /// The time is over.
    TimeOver,
}

impl Patience {
    /// For a caller that waits.
    pub(crate) fn of(caller: Caller) -> Self {
        Self {
            caller: Some(caller),
            ..Self::default()
        }
    }

    /// For work that nobody waits for: as long as it takes.
    pub(crate) fn endless() -> Self {
        Self::default()
    }

    /// At most so long.
    pub(crate) fn at_most(limit: Duration) -> Self {
        Self::default().within(Some(limit))
    }

    /// The same with a time limit, if none was set yet.
    #[must_use]
    pub(crate) fn within(self, limit: Option<Duration>) -> Self {
        Self {
            until: self.until.or(limit.map(|limit| Instant::now() + limit)),
            ..self
        }
    }

    /// How long to wait before it is looked again.
    pub(crate) fn next_look(&self) -> Duration {
        match self.until {
            Some(until) => until.saturating_duration_since(Instant::now()).min(TICK),
            None => TICK,
        }
    }

    /// Whether the wait should end. `silent`: the server has been silent for a while.
    pub(crate) fn ended(&self, silent: bool) -> Option<Ended> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Some(Ended::TimeOver);
        }
        let caller = self.caller.as_ref()?;
        caller.has_left(silent).then_some(Ended::Killed)
    }
}

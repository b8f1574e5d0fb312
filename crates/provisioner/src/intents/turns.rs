//! Turns: of all tasks that want to work on one volume, one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Waiting = Arc<tokio::sync::Mutex<()>>;

/// See the module. A volume nobody works on or waits for takes no room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    by_volume: Mutex<HashMap<String, Waiting>>,
}

/// The turn of one task; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    volume: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of `volume`. Safe to cancel.
    pub(super) async fn take(&self, volume: &str) -> Turn<'_> {
        let waiting = self.lock().entry(volume.to_owned()).or_default().clone();
        let mut turn = Turn {
            turns: self,
            volume: volume.to_owned(),
            held: None,
        };
        turn.held = Some(waiting.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.by_volume
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut by_volume = self.turns.lock();
        self.held = None;
        // The map holds one reference, whoever works or waits another; all are taken under its lock.
        if by_volume
            .get(&self.volume)
            .is_some_and(|waiting| Arc::strong_count(waiting) == 1)
        {
            by_volume.remove(&self.volume);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_first_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take("v").await;
        drop(turns.take("other").await);
        let late = tokio::time::timeout(Duration::from_secs(1), turns.take("v")).await;
        assert!(late.is_err());
        drop(first);
        drop(turns.take("v").await);
        assert!(turns.lock().is_empty());
    }
}

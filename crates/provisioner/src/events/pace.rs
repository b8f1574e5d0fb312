//! When the next event may be written: events never delay binding.
//!
//! An event costs the API server about as much as a volume does. Those of a burst of claims are
//! therefore written with rests for as long as claims and volumes go on changing, which is how the
//! controller-manager's binding shows, and without rests as soon as it is calm.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// So many waiting are no burst: they are written at once.
const FEW: usize = 64;
/// The rest after an event of a burst.
const REST: Duration = Duration::from_millis(100);
/// It is calm when nothing has changed for so long.
const CALM: Duration = Duration::from_secs(1);

/// What is known of the traffic.
#[derive(Debug)]
pub(crate) struct Pace {
    changed: Mutex<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            changed: Mutex::new(Instant::now()),
        }
    }
}

impl Pace {
    /// A claim or a volume has changed.
    pub(crate) fn stir(&self) {
        *self.changed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when the next event may be written, of `waiting` in a queue that takes `most`. A queue
    /// that is half full is written without rests, lest it overflows.
    pub(super) async fn rest(&self, waiting: usize, most: usize) {
        if waiting <= FEW || waiting > most / 2 {
            return;
        }
        let changed = *self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let until = (Instant::now() + REST).min(changed + CALM);
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4096;

    async fn rested(pace: &Pace, waiting: usize) -> Duration {
        let begun = Instant::now();
        pace.rest(waiting, MOST).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_burst_that_does_not_overflow_rests() {
        let pace = Pace::default();
        assert_eq!(rested(&pace, FEW).await, Duration::ZERO);
        assert_eq!(rested(&pace, FEW + 1).await, REST);
        assert_eq!(rested(&pace, MOST / 2).await, REST);
        assert_eq!(rested(&pace, MOST / 2 + 1).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn rests_end_when_it_is_calm() {
        let pace = Pace::default();
        tokio::time::sleep(CALM.checked_sub(REST / 2).unwrap()).await;
        assert_eq!(rested(&pace, FEW + 1).await, REST / 2);
        assert_eq!(rested(&pace, FEW + 1).await, Duration::ZERO);
        pace.stir();
        assert_eq!(rested(&pace, FEW + 1).await, REST);
    }
}

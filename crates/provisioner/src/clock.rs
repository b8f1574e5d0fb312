//! Time as the lease needs it: monotonic, and running on while the machine is suspended.
//!
//! `CLOCK_MONOTONIC`, which `std::time::Instant` reads, stands still during a suspend, so a
//! process that wakes up would believe its lease still held.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A clock that never goes back. Its zero has no meaning.
pub trait Clock: Send + Sync + 'static {
    /// Time since the clock's own zero.
    fn now(&self) -> Duration;
}

/// `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Duration {
        // The clock exists since Linux 2.6.39; without it nothing may be held, so 0 (= every
        // deadline in the future) would be wrong and the largest value is the safe answer.
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
    }
}

/// Until when this process may act. Every step that changes something asks it first.
#[derive(Clone)]
pub struct Fence {
    clock: Arc<dyn Clock>,
    deadline: Arc<AtomicU64>,
}

/// The process may not act: the renew deadline of its lease has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("act without the lease: its renew deadline has passed")]
pub struct Fenced;

impl Fence {
    /// A fence that is closed until [`Fence::extend`].
    pub fn closed(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            deadline: Arc::new(AtomicU64::new(0)),
        }
    }

    /// A fence that is always open: leader election is off.
    pub fn open(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            deadline: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Allows acting until `deadline` on the fence's clock.
    pub fn extend(&self, deadline: Duration) {
        let millis = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.deadline.store(millis, Ordering::SeqCst);
    }

    /// Allows nothing any more.
    pub fn close(&self) {
        self.deadline.store(0, Ordering::SeqCst);
    }

    /// Whether the process may act now.
    ///
    /// # Errors
    /// [`Fenced`] past the deadline.
    pub fn check(&self) -> Result<(), Fenced> {
        let deadline = self.deadline.load(Ordering::SeqCst);
        let now = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        if deadline == u64::MAX || now < deadline {
            Ok(())
        } else {
            Err(Fenced)
        }
    }

    /// Does `work` for as long as the process may act. The fence is looked at before each of its
    /// steps, so work of several calls ends between two of them: a process that is frozen half-way
    /// and resumed later goes no further.
    ///
    /// # Errors
    /// [`Fenced`] past the deadline; then nobody knows how far it came.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Result<T, Fenced> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| match self.check() {
            Err(fenced) => Poll::Ready(Err(fenced)),
            Ok(()) => work.as_mut().poll(context).map(Ok),
        })
        .await
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fence")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(AtomicU64);

    impl Clock for At {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_fence_closes_by_itself_when_nobody_extends_it() {
        let clock = Arc::new(At(AtomicU64::new(100)));
        let fence = Fence::closed(clock.clone());
        assert_eq!(fence.check(), Err(Fenced));
        fence.extend(Duration::from_millis(200));
        assert_eq!(fence.check(), Ok(()));
        clock.0.store(200, Ordering::SeqCst);
        assert_eq!(fence.check(), Err(Fenced));
    }

    #[tokio::test]
    async fn work_ends_between_two_steps_when_the_fence_closes() {
        let clock = Arc::new(At(AtomicU64::new(100)));
        let fence = Fence::closed(clock.clone());
        fence.extend(Duration::from_millis(200));
        let steps = AtomicU64::new(0);
        let work = async {
            for step in 1.. {
                steps.store(step, Ordering::SeqCst);
                if step == 3 {
                    // The process is frozen here, and resumed after its lease is over.
                    clock.0.store(200, Ordering::SeqCst);
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(fence.guard(work).await, Err(Fenced));
        assert_eq!(steps.load(Ordering::SeqCst), 3);
        fence.extend(Duration::from_millis(300));
        assert_eq!(fence.guard(std::future::ready(7)).await, Ok(7));
    }

    #[test]
    fn the_boot_clock_moves_forward() {
        let first = BootClock.now();
        assert!(first > Duration::ZERO);
        assert!(BootClock.now() >= first);
        assert!(first < Duration::MAX);
    }
}

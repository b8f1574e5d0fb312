//! Kernel calls with a deadline.
//!
//! A call into a hard mount whose server is gone cannot be cancelled: it ends when the server is
//! back. So each runs on a thread of its own, and the caller stops waiting. The threads are plain
//! ones and not the runtime's: a runtime waits for its blocking threads when it ends, and a
//! stopped provisioner must not hang on a server that is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::backend::Cause;
use crate::backend::failure::Failure;
use crate::backend::removal::{Progress, no_progress};

use super::Effect;

/// Stuck calls beyond which no further call is started.
const STUCK_MAX: usize = 16;

/// Starts kernel calls and counts those that do not come back.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    stuck: Arc<AtomicUsize>,
}

const RUNNING: u8 = 0;
const ABANDONED: u8 = 1;
const RETURNED: u8 = 2;

/// One call, seen from both sides.
struct Call {
    state: AtomicU8,
    stuck: Arc<AtomicUsize>,
}

/// The waiting side: dropped before the call returned, it leaves a stuck call behind.
struct Waiter(Arc<Call>);

impl Drop for Waiter {
    fn drop(&mut self) {
        let state = &self.0.state;
        if state
            .compare_exchange(RUNNING, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            self.0.stuck.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The thread's side: dropped when the call is over, also when it panicked.
struct Worker(Arc<Call>);

impl Drop for Worker {
    fn drop(&mut self) {
        if self.0.state.swap(RETURNED, Ordering::AcqRel) == ABANDONED {
            self.0.stuck.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Calls {
    /// Calls past their deadline that have not returned.
    pub(crate) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Acquire)
    }

    /// Runs `work` on its own thread and waits for at most `limit`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        effect: Effect,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (waiter, answer) = self.start(work)?;
        let result = tokio::time::timeout(limit, answer).await;
        drop(waiter);
        if let Ok(answer) = result {
            return answer.unwrap_or_else(|_| Err(died()));
        }
        let detail = format!("no answer within {limit:?}");
        Err(match effect {
            Effect::Reads => Failure::definite(Cause::TimedOut, detail),
            Effect::Changes => Failure::uncertain(Cause::TimedOut, detail),
        })
    }

    /// Runs `work`, which only looks, on its own thread and blocks for at most `limit`.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (waiter, _) = self.start(move || {
            // Nobody may be waiting any more; that is what the deadline is for.
            let _ = sender.send(work());
            Ok(())
        })?;
        let result = receiver.recv_timeout(limit);
        drop(waiter);
        result.unwrap_or_else(|_| {
            Err(Failure::definite(
                Cause::TimedOut,
                format!("no answer within {limit:?}"),
            ))
        })
    }

    /// Runs a removal on its own thread and waits for as long as something is being removed.
    pub(crate) async fn run_while_it_moves(
        &self,
        stall: Duration,
        work: impl FnOnce(&Progress) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let progress = Arc::new(Progress::new(stall));
        let shared = Arc::clone(&progress);
        let (waiter, mut answer) = self.start(move || work(&shared))?;
        let result = tokio::select! {
            answer = &mut answer => answer.unwrap_or_else(|_| Err(died())),
            () = progress.stalled() => {
                // A walk that is not stuck ends by itself now and knows what it waited for.
                progress.cancel();
                match tokio::time::timeout(GRACE, answer).await {
                    Ok(answer) => answer.unwrap_or_else(|_| Err(died())),
                    Err(_) => Err(no_progress()),
                }
            }
        };
        drop(waiter);
        result
    }

    fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<(Waiter, oneshot::Receiver<Result<T, Failure>>), Failure> {
        let stuck = self.stuck();
        if stuck >= STUCK_MAX {
            return Err(Failure::definite(
                Cause::Unreachable,
                format!("{stuck} calls wait for the server without an end"),
            ));
        }
        let call = Arc::new(Call {
            state: AtomicU8::new(RUNNING),
            stuck: Arc::clone(&self.stuck),
        });
        let worker = Worker(Arc::clone(&call));
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || {
                let result = work();
                drop(worker);
                // Nobody may be waiting any more; that is what the deadline is for.
                let _ = sender.send(result);
            })
            .map_err(|error| {
                Failure::definite(
                    Cause::Unreachable,
                    format!("cannot start a thread: {error}"),
                )
            })?;
        Ok((Waiter(call), receiver))
    }
}

/// What a walk gets to come to its end after its time is over.
const GRACE: Duration = Duration::from_millis(500);

/// The thread ended without an answer: a panic, which is a defect of ours.
fn died() -> Failure {
    Failure::uncertain(Cause::Io, "the storage thread ended without an answer")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::backend::Certainty;

    const SHORT: Duration = Duration::from_millis(20);

    /// A call that returns when the test lets it.
    fn held() -> (
        mpsc::Sender<()>,
        impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) {
        let (release, wait) = mpsc::channel::<()>();
        (release, move || {
            wait.recv().map_err(|_| died())?;
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_call_past_its_deadline_counts_until_it_returns() {
        let calls = Calls::default();
        let (release, work) = held();
        let failure = calls.run(Effect::Changes, SHORT, work).await.unwrap_err();
        assert_eq!(
            (failure.cause, failure.certainty),
            (Cause::TimedOut, Certainty::Uncertain)
        );
        assert_eq!(calls.stuck(), 1);
        release.send(()).unwrap();
        while calls.stuck() != 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_look_past_its_deadline_changed_nothing() {
        let calls = Calls::default();
        let (_release, work) = held();
        let failure = calls.run(Effect::Reads, SHORT, work).await.unwrap_err();
        assert_eq!(
            (failure.cause, failure.certainty),
            (Cause::TimedOut, Certainty::Definite)
        );
    }

    #[test]
    fn a_blocking_look_ends_at_its_deadline() {
        let calls = Calls::default();
        let (_release, work) = held();
        let failure = calls.run_blocking(SHORT, work).unwrap_err();
        assert_eq!(
            (failure.cause, failure.certainty),
            (Cause::TimedOut, Certainty::Definite)
        );
        assert_eq!(
            calls
                .run_blocking(Duration::from_secs(5), || Ok(7))
                .unwrap(),
            7
        );
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_a_stuck_call() {
        let calls = Calls::default();
        let (release, work) = held();
        let run = calls.run(Effect::Reads, Duration::from_mins(1), work);
        assert!(tokio::time::timeout(SHORT, run).await.is_err());
        assert_eq!(calls.stuck(), 1);
        release.send(()).unwrap();
        while calls.stuck() != 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn beyond_the_cap_calls_fail_at_once_and_start_nothing() {
        let calls = Calls::default();
        let mut releases = Vec::new();
        for _ in 0..STUCK_MAX {
            let (release, work) = held();
            releases.push(release);
            calls.run(Effect::Reads, SHORT, work).await.unwrap_err();
        }
        assert_eq!(calls.stuck(), STUCK_MAX);
        let failure = calls
            .run::<()>(Effect::Changes, SHORT, || panic!("must not run"))
            .await
            .unwrap_err();
        assert_eq!(
            (failure.cause, failure.certainty),
            (Cause::Unreachable, Certainty::Definite)
        );
        drop(releases);
        while calls.stuck() != 0 {
            tokio::task::yield_now().await;
        }
        calls
            .run(Effect::Reads, Duration::from_secs(5), || Ok(()))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_walk_that_moves_outlives_its_stall_limit() {
        let calls = Calls::default();
        let started = std::time::Instant::now();
        let stall = Duration::from_millis(150);
        calls
            .run_while_it_moves(stall, |progress| {
                for _ in 0..10 {
                    std::thread::sleep(Duration::from_millis(30));
                    progress.touch();
                }
                Ok(())
            })
            .await
            .unwrap();
        assert!(
            started.elapsed() > stall,
            "the walk must have taken longer than its stall limit"
        );
    }

    #[tokio::test]
    async fn a_walk_that_hangs_is_left_behind() {
        let calls = Calls::default();
        let (release, work) = held();
        let failure = calls
            .run_while_it_moves(SHORT, move |_| work())
            .await
            .unwrap_err();
        assert_eq!(
            (failure.cause, failure.certainty),
            (Cause::TimedOut, Certainty::Uncertain)
        );
        assert_eq!(calls.stuck(), 1);
        drop(release);
    }
}

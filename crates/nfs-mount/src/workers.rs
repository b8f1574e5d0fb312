//! Threads for requests: as many as there are requests at a time.
//!
//! A request may wait for a silent server as long as its caller lives, so a fixed number of threads
//! would come to a standstill. The number is bounded by the callers, who wait themselves.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// More threads than this are not started; then work waits.
const MOST: usize = 2048;
/// Stack of a thread, in bytes.
const STACK: usize = 256 * 1024;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    running: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is work.
    work: Condvar,
    /// Something was finished.
    quiet: Condvar,
}

/// A pool of threads that grows with its work.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<Shared>);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                drop(state);
                // A defect in one request must not take the thread's place in the count with it.
                // Its reply is an I/O error, which the dropped reply sends.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("request was not finished");
                }
                state = self.state();
                state.running -= 1;
                self.quiet.notify_all();
                continue;
            }
            state.idle += 1;
            let (woken, waited) = self
                .work
                .wait_timeout_while(state, IDLE, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl Workers {
    /// Has a job done as soon as possible.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state();
        state.jobs.push_back(Box::new(job));
        if state.idle < state.jobs.len() && state.threads < MOST {
            state.threads += 1;
            let shared = Arc::clone(&self.0);
            drop(state);
            let started = thread::Builder::new()
                .name("nfs-worker".to_owned())
                .stack_size(STACK)
                .spawn(move || shared.serve());
            if let Err(error) = started {
                // The job waits for one of the threads there are.
                tracing::error!(%error, "no thread for a request");
                self.0.state().threads -= 1;
            }
        } else {
            drop(state);
        }
        self.0.work.notify_one();
    }

    /// Waits until nothing is left to do; `false` if that took too long.
    pub(crate) fn finish(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let (state, _) = self
            .0
            .quiet
            .wait_timeout_while(
                self.0.state(),
                until.saturating_duration_since(Instant::now()),
                |state| state.running > 0 || !state.jobs.is_empty(),
            )
            .unwrap_or_else(PoisonError::into_inner);
        state.running == 0 && state.jobs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_job_that_waits_holds_nobody_up() {
        let workers = Workers::default();
        let (go, wait) = mpsc::channel::<()>();
        workers.run(move || {
            let _ = wait.recv();
        });
        let (done, finished) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            workers.run(move || done.send(number).expect("listened to"));
        }
        let mut seen: Vec<i32> = (0..100)
            .map(|_| {
                finished
                    .recv_timeout(Duration::from_secs(10))
                    .expect("done")
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert!(!workers.finish(Duration::from_millis(20)));
        drop(go);
        assert!(workers.finish(Duration::from_secs(10)));
    }

    #[test]
    fn a_panic_is_survived() {
        let workers = Workers::default();
        workers.run(|| panic!("on purpose"));
        assert!(workers.finish(Duration::from_secs(10)));
        let (done, finished) = mpsc::channel();
        workers.run(move || done.send(()).expect("listened to"));
        finished
            .recv_timeout(Duration::from_secs(10))
            .expect("done");
    }
}

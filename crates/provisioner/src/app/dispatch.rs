//! Workers: keys of a queue handed to a bounded number of tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::claims::Next;
use crate::intents::Slot;
use crate::queue::WorkQueue;

/// Hands keys to at most `at_once` tasks until asked to stop, then waits for them, but no longer
/// than `patience`: what is left goes on from its record next time.
pub(super) async fn dispatch<C, Q, F, W>(
    queue: Q,
    controller: Arc<C>,
    at_once: usize,
    patience: Duration,
    shutdown: &CancellationToken,
    work: F,
) where
    C: Send + Sync + 'static,
    Q: Fn(&C) -> &WorkQueue<String> + Copy + Send + 'static,
    F: Fn(Arc<C>, String, Slot) -> W,
    W: Future<Output = Next> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot.ok(),
        };
        let key = tokio::select! {
            () = shutdown.cancelled() => break,
            key = queue(&controller).next() => key,
        };
        while let Some(ended) = tasks.try_join_next() {
            log_panic(ended);
        }
        let done = Done {
            controller: controller.clone(),
            queue,
            key: key.clone(),
            next: None,
        };
        let job = Box::pin(work(controller.clone(), key, slot));
        tasks.spawn(async move {
            let mut done = done;
            done.next = Some(job.await);
        });
    }
    let drained = tokio::time::timeout(patience, async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(left = tasks.len(), "work is left to its records");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a worker panicked: {error}");
    }
}

/// Gives a key back to its queue, also when its task panics or is dropped.
struct Done<C, Q: Fn(&C) -> &WorkQueue<String>> {
    controller: Arc<C>,
    queue: Q,
    key: String,
    next: Option<Next>,
}

impl<C, Q: Fn(&C) -> &WorkQueue<String>> Drop for Done<C, Q> {
    fn drop(&mut self) {
        let queue = (self.queue)(&self.controller);
        match self.next {
            Some(Next::OnChange) => {}
            Some(Next::In(delay)) => queue.add_after(self.key.clone(), delay),
            // A defect of ours: neither lost nor repeated at once.
            None => queue.add_after(self.key.clone(), backoff::LONGEST),
        }
        queue.done(&self.key);
    }
}

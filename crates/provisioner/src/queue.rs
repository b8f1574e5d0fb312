//! A queue of keys: each key is worked on by one task at a time, and whatever is added while it is
//! being worked on is looked at once more afterwards, so that no change is lost.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub struct WorkQueue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    running: HashSet<K>,
    again: HashSet<K>,
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    sequence: u64,
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                running: HashSet::new(),
                again: HashSet::new(),
                delayed: BTreeMap::new(),
                due: HashMap::new(),
                sequence: 0,
            }),
            changed: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// Asks for `key` to be worked on as soon as a worker is free; cancels a delay it waits for.
    pub fn add(&self, key: K) {
        {
            let mut state = self.lock();
            state.cancel_delay(&key);
            state.push(key);
        }
        self.changed.notify_one();
    }

    /// Asks for `key` to be worked on in `delay`; an earlier time already asked for stays.
    pub fn add_after(&self, key: K, delay: Duration) {
        {
            let mut state = self.lock();
            if state.queued.contains(&key) || state.again.contains(&key) {
                return;
            }
            let at = Instant::now() + delay;
            if state
                .due
                .get(&key)
                .is_some_and(|(earlier, _)| *earlier <= at)
            {
                return;
            }
            state.cancel_delay(&key);
            state.sequence += 1;
            let slot = (at, state.sequence);
            state.delayed.insert(slot, key.clone());
            state.due.insert(key, slot);
        }
        self.changed.notify_one();
    }

    /// Makes every key that waits for a time ready now: what they waited out is over.
    pub fn hasten(&self) {
        {
            let mut state = self.lock();
            state.due.clear();
            for key in std::mem::take(&mut state.delayed).into_values() {
                state.push(key);
            }
        }
        self.changed.notify_one();
    }

    /// The next key; waits for one. [`WorkQueue::done`] must follow. Safe to cancel.
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            let wait = {
                let mut state = self.lock();
                state.release_due(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.running.insert(key.clone());
                    if !state.ready.is_empty() {
                        // One notification wakes one worker; pass it on.
                        self.changed.notify_one();
                    }
                    return key;
                }
                state.delayed.first_key_value().map(|((at, _), _)| *at)
            };
            match wait {
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// The worker has finished with `key`.
    pub fn done(&self, key: &K) {
        {
            let mut state = self.lock();
            state.running.remove(key);
            if state.again.remove(key) {
                state.push(key.clone());
            }
        }
        self.changed.notify_one();
    }

    /// Keys waiting for a worker or a time.
    pub fn len(&self) -> usize {
        let state = self.lock();
        state.ready.len() + state.delayed.len() + state.again.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn push(&mut self, key: K) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn cancel_delay(&mut self, key: &K) {
        if let Some(slot) = self.due.remove(key) {
            self.delayed.remove(&slot);
        }
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(entry) = self.delayed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.due.remove(&key);
            self.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing_comes(queue: &WorkQueue<&'static str>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), queue.next())
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_worked_on_once_at_a_time_and_once_more_if_it_changed() {
        let queue = WorkQueue::default();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "a");
        assert!(nothing_comes(&queue).await);
        queue.add("a");
        queue.add("a");
        assert!(nothing_comes(&queue).await, "it is being worked on");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(nothing_comes(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_is_waited_for_and_cut_short_by_an_addition() {
        let queue = WorkQueue::default();
        let start = Instant::now();
        queue.add_after("slow", Duration::from_secs(10));
        queue.add_after("slow", Duration::from_secs(20));
        assert_eq!(queue.next().await, "slow");
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&"slow");
        queue.add_after("slow", Duration::from_mins(5));
        queue.add("slow");
        assert_eq!(queue.next().await, "slow");
        assert_eq!(start.elapsed().as_secs(), 10);
        queue.done(&"slow");
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_recovery_ends_every_delay_and_adds_nothing() {
        let queue = WorkQueue::default();
        let start = Instant::now();
        queue.add_after("a", Duration::from_mins(5));
        queue.add_after("b", Duration::from_secs(1));
        queue.add("c");
        queue.hasten();
        for key in ["c", "b", "a"] {
            assert_eq!(queue.next().await, key);
            queue.done(&key);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(nothing_comes(&queue).await);
        queue.hasten();
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_set_while_the_key_runs_does_not_run_it_twice() {
        let queue = WorkQueue::default();
        queue.add("a");
        let key = queue.next().await;
        queue.add_after(key, Duration::from_secs(1));
        queue.done(&key);
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        assert!(nothing_comes(&queue).await);
    }

    #[tokio::test]
    async fn several_workers_share_the_keys() {
        let queue = std::sync::Arc::new(WorkQueue::default());
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let queue = queue.clone();
            workers.spawn(async move { queue.next().await });
        }
        tokio::task::yield_now().await;
        for key in 0..4 {
            queue.add(key);
        }
        let mut seen = workers.join_all().await;
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3]);
    }
}

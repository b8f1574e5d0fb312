//! The two watches of a burst, and waiting for what they tell.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::objects::{self, NAMESPACE, Names};
use super::timeline::{Counts, Marks, Seen, Timeline};

/// The watches of a burst. They end when this is dropped.
pub(super) struct Watching {
    shared: Arc<Shared>,
    counts: watch::Receiver<Counts>,
    /// Numbers of volumes in the order in which they were Released.
    pub(super) released: mpsc::UnboundedReceiver<usize>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

struct Shared {
    epoch: Instant,
    timeline: Mutex<Timeline>,
    counts: watch::Sender<Counts>,
    released: mpsc::UnboundedSender<usize>,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Timeline) -> T) -> T {
        let mut timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut timeline);
        let counts = timeline.counts();
        drop(timeline);
        self.counts.send_if_modified(|known| {
            let news = *known != counts;
            *known = counts;
            news
        });
        result
    }

    fn note(&self, seen: Seen) {
        // As soon as it was decoded: waiting for the lock is no part of what is measured.
        let at = self.epoch.elapsed();
        if self.with(|timeline| timeline.note(seen, at))
            && let Seen::Volume { index, .. } = seen
        {
            // Nobody listens where volumes are the subject's to delete.
            let _ = self.released.send(index);
        }
    }
}

/// Nothing happened for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stalled {
    /// How long nothing happened.
    pub(super) limit: Duration,
    /// What had happened until then.
    pub(super) counts: Counts,
}

/// How one kind of object is read.
struct Reading<K> {
    number: fn(&Names, &K) -> Option<usize>,
    seen: fn(&K, usize) -> Seen,
    gone: fn(usize) -> Seen,
    missing: fn(&Timeline, &[bool]) -> Vec<usize>,
}

impl Watching {
    /// Begins to watch the objects of a burst of `claims`.
    ///
    /// # Access control
    /// `list` and `watch` on claims of the bench's namespace and on volumes.
    pub(super) fn start(client: &Client, names: &Names, claims: usize) -> Self {
        let (counts, counted) = watch::channel(Counts::default());
        let (release, released) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            epoch: Instant::now(),
            timeline: Mutex::new(Timeline::new(claims)),
            counts,
            released: release,
        });
        let claims = follow(
            Api::<PersistentVolumeClaim>::namespaced(client.clone(), NAMESPACE),
            names.clone(),
            Arc::clone(&shared),
            Reading {
                number: Names::of_claim,
                seen: objects::seen_of_claim,
                gone: Seen::ClaimGone,
                missing: Timeline::claims_missing_in,
            },
        );
        let volumes = follow(
            Api::<PersistentVolume>::all(client.clone()),
            names.clone(),
            Arc::clone(&shared),
            Reading {
                number: Names::of_volume,
                seen: objects::seen_of_volume,
                gone: Seen::VolumeGone,
                missing: Timeline::volumes_missing_in,
            },
        );
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(claims)),
            AbortOnDropHandle::new(tokio::spawn(volumes)),
        ];
        Self {
            shared,
            counts: counted,
            released,
            _tasks: tasks,
        }
    }

    /// The time since the epoch of all marks.
    pub(super) fn now(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    /// The steps of every claim so far.
    pub(super) fn marks(&self) -> Vec<Marks> {
        self.shared.with(|timeline| timeline.marks().to_vec())
    }

    /// A receiver of the counts, to wait with.
    pub(super) fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.clone()
    }
}

/// Ends when `reached` holds.
///
/// # Errors
/// Nothing changed for `limit`.
pub(super) async fn until(
    mut counts: watch::Receiver<Counts>,
    limit: Duration,
    reached: impl Fn(Counts) -> bool,
) -> Result<(), Stalled> {
    loop {
        let now = *counts.borrow_and_update();
        if reached(now) {
            return Ok(());
        }
        match timeout(limit, counts.changed()).await {
            Ok(Ok(())) => {}
            // The sender lives as long as the watches; without them nothing changes either.
            Ok(Err(_)) | Err(_) => return Err(Stalled { limit, counts: now }),
        }
    }
}

/// Notes what one watch tells, for ever. A watch that is cut goes on from where it was, or lists
/// again; what is missing in the list is gone.
async fn follow<K>(api: Api<K>, names: Names, shared: Arc<Shared>, reading: Reading<K>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut list = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object)) => {
                if let Some(index) = (reading.number)(&names, &object) {
                    shared.note((reading.seen)(&object, index));
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some(index) = (reading.number)(&names, &object) {
                    shared.note((reading.gone)(index));
                }
            }
            Ok(watcher::Event::Init) => list.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                if let Some(index) = (reading.number)(&names, &object) {
                    if list.len() <= index {
                        list.resize(index + 1, false);
                    }
                    list[index] = true;
                    shared.note((reading.seen)(&object, index));
                }
            }
            Ok(watcher::Event::InitDone) => {
                let missing = shared.with(|timeline| (reading.missing)(timeline, &list));
                for index in missing {
                    shared.note((reading.gone)(index));
                }
                shared.with(Timeline::listed);
            }
            Err(error) => tracing::warn!("a watch of the bench is cut and goes on: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_when_all_is_reached_or_nothing_more_can_happen() {
        let (sender, counts) = watch::channel(Counts::default());
        let limit = Duration::from_mins(10);
        let working = async {
            for bound in 1..=5 {
                sender.send_modify(|counts| counts.bound = bound);
                tokio::task::yield_now().await;
            }
        };
        let waiting = until(counts.clone(), limit, |counts| counts.bound == 5);
        let (result, ()) = tokio::join!(waiting, working);
        assert_eq!(result, Ok(()));

        drop(sender);
        let stalled = until(counts, limit, |counts| counts.bound == 6).await;
        let last = Counts {
            bound: 5,
            ..Counts::default()
        };
        let expected = Stalled {
            limit,
            counts: last,
        };
        assert_eq!(stalled, Err(expected));
    }
}

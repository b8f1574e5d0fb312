//! Which events were told, so that the same again raises the count of one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::{COUNT_INTERVAL, Words};

/// Events remembered at most.
const REMEMBERED: usize = 4096;

/// What makes two events the same. A burst of claims makes thousands, so the words are kept as a
/// hash, and of the event only what raising its count takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    object: Option<String>,
    words: u64,
}

impl Key {
    pub(super) fn of(object: &ObjectReference, words: &Words) -> Self {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        Self {
            object: object.uid.clone().or_else(|| object.name.clone()),
            words: hasher.finish(),
        }
    }
}

/// An event that was told.
pub(super) struct Told {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) warning: bool,
    pub(super) count: i32,
    /// When it, or its count, was written last.
    pub(super) written: Instant,
}

impl Told {
    /// The event as far as raising its count goes.
    pub(super) fn raised(&self) -> Event {
        Event {
            metadata: ObjectMeta {
                name: self.name.clone(),
                namespace: self.namespace.clone(),
                ..ObjectMeta::default()
            },
            count: Some(self.count),
            last_timestamp: Some(Time(Timestamp::now())),
            ..Event::default()
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Memory(HashMap<Key, Told>);

impl Memory {
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Told> {
        self.0.get_mut(key)
    }

    /// Remembers one that was just written.
    pub(super) fn insert(&mut self, key: Key, told: Told) {
        if self.0.len() >= REMEMBERED {
            let now = told.written;
            self.0
                .retain(|_, told| now.duration_since(told.written) < COUNT_INTERVAL);
        }
        if self.0.len() >= REMEMBERED {
            self.forget_half();
        }
        self.0.insert(key, told);
    }

    /// A burst leaves thousands that are told once: they go before what goes wrong, the oldest first.
    fn forget_half(&mut self) {
        let mut all: Vec<_> = std::mem::take(&mut self.0).into_iter().collect();
        all.sort_unstable_by_key(|(_, told)| (told.warning, told.written));
        self.0 = all.into_iter().skip(REMEMBERED / 2).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(number: u64) -> Key {
        Key {
            object: None,
            words: number,
        }
    }

    fn told(warning: bool, written: Instant) -> Told {
        Told {
            namespace: None,
            name: None,
            warning,
            count: 1,
            written,
        }
    }

    #[test]
    fn what_goes_wrong_is_remembered_through_a_burst_and_not_for_ever() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let burst = REMEMBERED as u64 * 3;
        memory.insert(key(0), told(true, begun));
        for number in 1..=burst {
            let at = begun + Duration::from_micros(number);
            memory.insert(key(number), told(false, at));
            assert!(memory.0.len() <= REMEMBERED);
        }
        assert!(memory.get_mut(&key(0)).is_some(), "the failure");
        assert!(memory.get_mut(&key(burst)).is_some(), "the latest");
        assert!(memory.get_mut(&key(1)).is_none(), "the oldest");
        // Its count would be written now anyway.
        let later = begun + COUNT_INTERVAL;
        for number in 1..=REMEMBERED as u64 {
            memory.insert(key(burst + number), told(false, later));
        }
        assert!(memory.get_mut(&key(0)).is_none());
    }
}

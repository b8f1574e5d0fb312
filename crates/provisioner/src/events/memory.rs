//! Which events were told, so that the same again raises the count of one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::{COUNT_INTERVAL, Words};

/// How many events of type `Warning` are remembered at most.
const WARNINGS: usize = 4096;
/// How many of type `Normal`: a burst tells thousands, nearly all of them once.
const NORMAL: usize = 512;

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
pub(super) struct Memory {
    warnings: HashMap<Key, Told>,
    normal: HashMap<Key, Told>,
}

impl Memory {
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Told> {
        self.warnings
            .get_mut(key)
            .or_else(|| self.normal.get_mut(key))
    }

    /// Remembers one that was just written.
    pub(super) fn insert(&mut self, key: Key, told: Told) {
        let (all, most) = if told.warning {
            (&mut self.warnings, WARNINGS)
        } else {
            (&mut self.normal, NORMAL)
        };
        if all.len() >= most {
            let now = told.written;
            all.retain(|_, told| now.duration_since(told.written) < COUNT_INTERVAL);
        }
        if all.len() >= most {
            forget_older_half(all);
        }
        all.insert(key, told);
    }
}

fn forget_older_half(all: &mut HashMap<Key, Told>) {
    let mut sorted: Vec<_> = std::mem::take(all).into_iter().collect();
    sorted.sort_unstable_by_key(|(_, told)| told.written);
    *all = sorted.split_off(sorted.len() / 2).into_iter().collect();
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
    fn what_goes_wrong_is_remembered_through_a_burst() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        let burst = NORMAL as u64 * 3;
        memory.insert(key(0), told(true, begun));
        for number in 1..=burst {
            let at = begun + Duration::from_micros(number);
            memory.insert(key(number), told(false, at));
            assert!(memory.normal.len() <= NORMAL);
        }
        assert!(memory.get_mut(&key(0)).is_some(), "the failure");
        assert!(memory.get_mut(&key(burst)).is_some(), "the latest");
        assert!(memory.get_mut(&key(1)).is_none(), "the oldest");
    }

    /// Its count would be written then anyway.
    #[test]
    fn failures_are_forgotten_when_there_are_too_many_the_stale_and_the_oldest_first() {
        let (mut memory, begun) = (Memory::default(), Instant::now());
        memory.insert(key(0), told(true, begun));
        let later = begun + COUNT_INTERVAL;
        for number in 1..=WARNINGS as u64 {
            memory.insert(
                key(number),
                told(true, later + Duration::from_micros(number)),
            );
        }
        assert!(memory.get_mut(&key(0)).is_none(), "the stale one");
        assert!(memory.get_mut(&key(1)).is_some(), "only that one went");
        assert_eq!(memory.warnings.len(), WARNINGS);
        let last = WARNINGS as u64 + 1;
        let at = later + Duration::from_micros(last);
        memory.insert(key(last), told(true, at));
        assert!(memory.get_mut(&key(1)).is_none(), "the oldest");
        assert!(memory.get_mut(&key(last)).is_some(), "the latest");
        assert_eq!(memory.warnings.len(), WARNINGS / 2 + 1);
    }
}

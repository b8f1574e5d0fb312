//! How far the watch of volumes is known to have come, seen from the claims.
//!
//! Nothing orders the events of two watches, so it is told by our own volumes: a claim was seen,
//! then a volume of ours was created, then the watch of volumes has shown that one. By then it has
//! shown whatever was there before the claim, for one watch shows its objects in the order of their
//! changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many claims were seen that nobody had asked us for.
    sighted: u64,
    /// Those that still wait, by their number.
    waiting: BTreeMap<u64, String>,
    /// Volumes of ours that are being created or not shown yet, by name.
    creations: HashMap<String, Creation>,
    /// The watch of volumes has come as far as the claims up to this number.
    reached: u64,
    /// How far it will have come once the list is complete that is under way.
    reached_with_list: u64,
    listing: bool,
}

/// A volume of ours that tells how far the watch has come.
#[derive(Debug)]
struct Creation {
    /// How many claims were seen before it.
    after: u64,
    /// The UID of what was created.
    made: Option<String>,
    /// The UID of what the watch has shown since; an earlier volume may have had its name.
    shown: Option<String>,
}

/// A creation under way; one that is dropped tells nothing.
#[derive(Debug)]
pub(super) struct Creating<'a> {
    reach: &'a Reach,
    volume: String,
}

impl Reach {
    /// A claim is seen that nobody asks us for yet: its number.
    pub(super) fn sight(&self, uid: &str) -> u64 {
        let mut state = self.lock();
        state.sighted += 1;
        let number = state.sighted;
        state.waiting.insert(number, uid.to_owned());
        number
    }

    /// A claim does not wait to be asked for any more.
    pub(super) fn forget(&self, number: u64) {
        self.lock().waiting.remove(&number);
    }

    /// Whether a claim that has not been forgotten was taken.
    pub(super) fn is_taken(&self, number: u64) -> bool {
        !self.lock().waiting.contains_key(&number)
    }

    /// The claims that the watch of volumes has come as far as, each once.
    pub(super) fn take_reached(&self) -> Vec<String> {
        let mut state = self.lock();
        let next = state.reached + 1;
        let later = state.waiting.split_off(&next);
        let reached = std::mem::replace(&mut state.waiting, later);
        reached.into_values().collect()
    }

    /// A volume is about to be created.
    pub(super) fn creating(&self, volume: &str) -> Creating<'_> {
        let mut state = self.lock();
        let creation = Creation {
            after: state.sighted,
            made: None,
            shown: None,
        };
        state.creations.insert(volume.to_owned(), creation);
        Creating {
            reach: self,
            volume: volume.to_owned(),
        }
    }

    /// The watch shows a volume.
    pub(super) fn shown(&self, volume: &str, uid: Option<&str>) {
        let mut state = self.lock();
        if let Some(creation) = state.creations.get_mut(volume) {
            creation.shown = uid.map(str::to_owned);
            state.meet(volume);
        }
    }

    /// The watch of volumes lists anew, in pages that are in no order of time.
    pub(super) fn listing(&self) {
        self.lock().listing = true;
    }

    /// The list is complete. What it has not shown by now may have been deleted unseen.
    pub(super) fn listed(&self) {
        let mut state = self.lock();
        state.listing = false;
        state.reached = state.reached.max(state.reached_with_list);
        state
            .creations
            .retain(|_, creation| creation.made.is_none());
    }

    /// How many claims wait to be asked for.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes how far the watch has come, if it has shown the very volume that was created.
    fn meet(&mut self, volume: &str) {
        let Some(creation) = self.creations.get(volume) else {
            return;
        };
        if creation.made.is_none() || creation.made != creation.shown {
            return;
        }
        let reached = if self.listing {
            &mut self.reached_with_list
        } else {
            &mut self.reached
        };
        *reached = creation.after.max(*reached);
        self.creations.remove(volume);
    }
}

impl Creating<'_> {
    /// The volume was created, with this UID.
    pub(super) fn made(self, uid: Option<&str>) {
        let mut state = self.reach.lock();
        if let Some(creation) = state.creations.get_mut(&self.volume) {
            creation.made = uid.map(str::to_owned);
            state.meet(&self.volume);
        }
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        let mut state = self.reach.lock();
        let made = |creation: &Creation| creation.made.is_some();
        if !state.creations.get(&self.volume).is_some_and(made) {
            state.creations.remove(&self.volume);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    #[test]
    fn claims_seen_before_a_volume_of_ours_are_reached_when_the_watch_shows_it() {
        let reach = Reach::default();
        let first = reach.sight("1");
        let creating = reach.creating("pv");
        let second = reach.sight("2");
        creating.made(Some("a"));
        assert_eq!(reach.take_reached(), NONE, "it is not shown yet");
        reach.shown("pv", Some("a"));
        assert!(!reach.is_taken(first));
        assert_eq!(reach.take_reached(), ["1"], "the other was seen later");
        assert!(reach.is_taken(first) && !reach.is_taken(second));
        assert_eq!(reach.take_reached(), NONE, "each once");
    }

    #[test]
    fn the_watch_may_be_faster_than_the_answer() {
        let reach = Reach::default();
        reach.sight("1");
        let creating = reach.creating("pv");
        reach.shown("pv", Some("a"));
        assert_eq!(
            reach.take_reached(),
            NONE,
            "who created it is not known yet"
        );
        creating.made(Some("a"));
        assert_eq!(reach.take_reached(), ["1"]);
    }

    #[test]
    fn an_earlier_volume_of_the_name_tells_nothing() {
        let reach = Reach::default();
        reach.sight("1");
        let creating = reach.creating("pv");
        reach.shown("pv", Some("old"));
        creating.made(Some("new"));
        assert_eq!(reach.take_reached(), NONE);
        reach.shown("pv", Some("new"));
        assert_eq!(reach.take_reached(), ["1"]);
    }

    #[test]
    fn what_was_not_created_tells_nothing() {
        let reach = Reach::default();
        reach.sight("1");
        drop(reach.creating("refused"));
        reach.shown("refused", Some("a"));
        reach.creating("without a UID").made(None);
        reach.shown("without a UID", None);
        assert_eq!(reach.take_reached(), NONE);
        assert!(reach.lock().creations.is_empty());
    }

    #[test]
    fn a_list_counts_when_it_is_complete() {
        let reach = Reach::default();
        reach.sight("1");
        reach.creating("pv").made(Some("a"));
        reach.listing();
        reach.shown("pv", Some("a"));
        assert_eq!(reach.take_reached(), NONE, "other pages follow");
        reach.listed();
        assert_eq!(reach.take_reached(), ["1"]);
    }

    #[test]
    fn what_a_list_does_not_show_is_forgotten_unless_it_is_being_created() {
        let reach = Reach::default();
        reach.sight("1");
        reach.creating("gone").made(Some("a"));
        let creating = reach.creating("pv");
        reach.listing();
        reach.listed();
        assert_eq!(reach.lock().creations.len(), 1);
        creating.made(Some("b"));
        reach.shown("pv", Some("b"));
        assert_eq!(reach.take_reached(), ["1"]);
    }

    #[test]
    fn what_is_forgotten_is_not_taken() {
        let reach = Reach::default();
        let numbers = ["1", "2", "3"].map(|uid| reach.sight(uid));
        reach.forget(numbers[1]);
        reach.creating("pv").made(Some("a"));
        reach.shown("pv", Some("a"));
        assert_eq!(reach.take_reached(), ["1", "3"]);
    }
}

//! What the watches have shown, as little of it as decisions need.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// The classes of the cluster by name: few and small, so whole.
#[derive(Debug, Default)]
pub struct Classes {
    by_name: RwLock<HashMap<String, Arc<StorageClass>>>,
}

impl Classes {
    /// The class of that name.
    pub fn get(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Takes a class; whether it is new or differs from the one known.
    pub fn set(&self, class: StorageClass) -> bool {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let class = Arc::new(class);
        let old = by_name.insert(class.name_any(), class.clone());
        old.is_none_or(|old| old != class)
    }

    /// Forgets a class.
    pub fn remove(&self, name: &str) {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    /// Every name.
    pub fn names(&self) -> Vec<String> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }
}

/// What one event of a watch means for keys that are only known while a list is under way: what a
/// new list does not hold any more was deleted unseen.
#[derive(Debug, Default)]
pub struct Relist {
    seen: std::collections::HashSet<String>,
}

/// One change, without the ways a watch has of telling it.
#[derive(Debug)]
pub enum Change<K> {
    /// It is there, new or not.
    There(K),
    /// It is gone.
    Gone(K),
    /// A new list begins.
    Listing,
    /// A list is complete; whatever has none of these keys is gone.
    Listed(std::collections::HashSet<String>),
}

impl Relist {
    /// Reduces an event; `key` names an object for [`Change::Listed`].
    pub fn change<K>(&mut self, event: Event<K>, key: impl Fn(&K) -> String) -> Change<K> {
        match event {
            Event::Init => {
                self.seen.clear();
                Change::Listing
            }
            Event::InitApply(object) => {
                self.seen.insert(key(&object));
                Change::There(object)
            }
            Event::InitDone => Change::Listed(std::mem::take(&mut self.seen)),
            Event::Apply(object) => Change::There(object),
            Event::Delete(object) => Change::Gone(object),
        }
    }
}

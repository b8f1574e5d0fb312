//! What a case makes, so that it can be taken away again: in reverse order, through the API and
//! through the protocol.

use std::sync::Mutex;

/// One thing that a case made or expects to be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// A namespaced object of a kind the tracker can delete.
    Object {
        /// Which kind.
        kind: Kind,
        /// Its namespace; empty for a cluster-scoped one.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A directory on the export that the case expects to be left: an archive, a kept or a foreign
    /// directory. Relative to the export's root.
    Directory(String),
}

/// The kinds of objects that cases create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// apps/v1 StatefulSet
    StatefulSet,
    /// v1 Pod
    Pod,
    /// v1 Service
    Service,
    /// v1 PersistentVolumeClaim
    Claim,
    /// v1 PersistentVolume
    Volume,
    /// storage.k8s.io/v1 StorageClass
    Class,
}

/// What one case has made so far.
#[derive(Debug, Default)]
pub struct Tracker {
    made: Mutex<Vec<Tracked>>,
}

impl Tracker {
    /// Remembers `tracked`; a thing is remembered once.
    pub fn track(&self, tracked: Tracked) {
        let mut made = self.made.lock().expect("no holder panics");
        if !made.contains(&tracked) {
            made.push(tracked);
        }
    }

    /// Everything tracked, the latest first.
    pub fn newest_first(&self) -> Vec<Tracked> {
        let mut made = self.made.lock().expect("no holder panics").clone();
        made.reverse();
        made
    }
}

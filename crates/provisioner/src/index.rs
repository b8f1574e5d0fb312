//! All records and all directories of volumes in memory, by component, so that overlap is judged
//! without asking the export.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::decide::{Neighbour, Placement, Refusal, Relation};
use crate::path::RelativePath;
use crate::records::{DirectoryIdentity, Record};

/// Who holds a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Holder {
    /// A record of this deployment, or a reservation that becomes one.
    Own(String),
    /// A record of another deployment: its id, the volume.
    Foreign(String, String),
    /// A volume object, with or without a record.
    Volume(String),
}

impl Holder {
    fn volume(&self) -> &str {
        match self {
            Self::Own(volume) | Self::Foreign(_, volume) | Self::Volume(volume) => volume,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    own: HashMap<String, Record>,
    foreign: HashMap<(String, String), Record>,
    held: HashMap<Holder, RelativePath>,
    by_directory: BTreeMap<RelativePath, BTreeSet<Holder>>,
    by_claim: HashMap<String, BTreeSet<String>>,
    by_file: HashMap<u64, BTreeSet<Holder>>,
    /// Volumes whose record is gone and whose object is too, which the watch has yet to show: they
    /// have no directory any more.
    ended: HashSet<String>,
}

impl Index {
    /// Takes the records of this deployment.
    pub fn load_own(&self, records: Vec<Record>) {
        let mut inner = self.lock();
        for record in records {
            inner.set_own(record);
        }
    }

    /// Replaces what is known of other deployments.
    pub fn load_foreign(&self, records: Vec<(String, Record)>) {
        let mut inner = self.lock();
        let old: Vec<Holder> = inner
            .held
            .keys()
            .filter(|holder| matches!(holder, Holder::Foreign(..)))
            .cloned()
            .collect();
        for holder in old {
            inner.drop_holder(&holder);
        }
        inner.foreign.clear();
        for (owner, record) in records {
            let holder = Holder::Foreign(owner.clone(), record.volume.clone());
            inner.hold(holder, &record.directory, record.identity);
            inner.foreign.insert((owner, record.volume.clone()), record);
        }
    }

    /// The record of a volume.
    pub fn record(&self, volume: &str) -> Option<Record> {
        self.lock().own.get(volume).cloned()
    }

    /// The records made for a claim.
    pub fn of_claim(&self, uid: &str) -> Vec<Record> {
        let inner = self.lock();
        let volumes = inner.by_claim.get(uid).into_iter().flatten();
        volumes
            .filter_map(|volume| inner.own.get(volume).cloned())
            .collect()
    }

    /// Every record of this deployment.
    pub fn own(&self) -> Vec<Record> {
        self.lock().own.values().cloned().collect()
    }

    /// Whether a volume has a record of this deployment.
    pub fn is_recorded(&self, volume: &str) -> bool {
        self.lock().own.contains_key(volume)
    }

    /// Shows every record of this deployment without a copy. `look` must not use the index.
    pub fn for_each_own(&self, look: impl FnMut(&Record)) {
        self.lock().own.values().for_each(look);
    }

    /// The deployment that has a record for a claim, if it is another one.
    pub fn foreign_owner_of(&self, uid: &str) -> Option<String> {
        let inner = self.lock();
        inner
            .foreign
            .iter()
            .find(|(_, record)| record.claim.uid == uid)
            .map(|((owner, _), _)| owner.clone())
    }

    /// Takes a record that was written.
    pub fn set(&self, record: Record) {
        self.lock().set_own(record);
    }

    /// Forgets a record or a reservation. A volume object that is still shown counts no more: a
    /// record goes after its object.
    pub fn remove(&self, volume: &str) {
        let mut inner = self.lock();
        inner.drop_holder(&Holder::Own(volume.to_owned()));
        if let Some(record) = inner.own.remove(volume) {
            if inner.held.contains_key(&Holder::Volume(volume.to_owned())) {
                inner.ended.insert(volume.to_owned());
            }
            let uid = record.claim.uid;
            if let Some(volumes) = inner.by_claim.get_mut(&uid) {
                volumes.remove(volume);
                if volumes.is_empty() {
                    inner.by_claim.remove(&uid);
                }
            }
        }
    }

    /// Reserves a directory for a volume if `judge` allows it next to its neighbours; both happen
    /// as one, so that of two claims with one path the second is refused.
    ///
    /// # Errors
    /// What `judge` says.
    pub fn reserve(
        &self,
        volume: &str,
        directory: &RelativePath,
        judge: impl FnOnce(Vec<Neighbour>) -> Result<Placement, Refusal>,
    ) -> Result<Placement, Refusal> {
        let mut inner = self.lock();
        let placement = judge(inner.neighbours(volume, directory))?;
        inner.hold(Holder::Own(volume.to_owned()), directory, None);
        Ok(placement)
    }

    /// The volume, other than `except`, whose recorded directory has this identity: it is the same
    /// one under another name (a link, a server that folds case).
    pub fn identified(
        &self,
        except: &str,
        identity: &DirectoryIdentity,
    ) -> Option<(String, RelativePath)> {
        let inner = self.lock();
        let holders = inner.by_file.get(&identity.fileid)?;
        holders
            .iter()
            .filter(|holder| holder.volume() != except)
            .find_map(|holder| {
                let record = inner.record_of(holder)?;
                record
                    .identity?
                    .matches(identity)
                    .then(|| (record.volume.clone(), record.directory.clone()))
            })
    }

    /// Whether a directory of another volume of this deployment, made already, lies at or below
    /// `directory`: then no other deployment can have it, as its existence makes each look here.
    pub fn is_known(&self, except: &str, directory: &RelativePath) -> bool {
        let inner = self.lock();
        inner
            .by_directory
            .range(directory.clone()..)
            .take_while(|(path, _)| directory.contains(path))
            .flat_map(|(_, holders)| holders)
            .any(|holder| {
                matches!(holder, Holder::Own(volume) if volume != except)
                    && inner
                        .record_of(holder)
                        .is_some_and(|record| record.identity.is_some())
            })
    }

    /// The volume of another deployment whose recorded directory is, holds or lies in this one.
    pub fn foreign_near(&self, directory: &RelativePath) -> Option<(String, RelativePath)> {
        let inner = self.lock();
        inner
            .foreign
            .values()
            .find(|record| {
                record.directory.contains(directory) || directory.contains(&record.directory)
            })
            .map(|record| (record.volume.clone(), record.directory.clone()))
    }

    /// A volume other than this one whose directory lies below `directory`: whatever happened to
    /// that would happen to the volume's data too.
    pub fn within(&self, except: &str, directory: &RelativePath) -> Option<(String, RelativePath)> {
        let inner = self.lock();
        inner
            .by_directory
            .range(directory.clone()..)
            .take_while(|(path, _)| directory.contains(path))
            .filter(|(path, _)| *path != directory)
            .find_map(|(path, holders)| {
                let other = holders
                    .iter()
                    .find(|holder| holder.volume() != except && !inner.has_ended(holder))?;
                Some((other.volume().to_owned(), path.clone()))
            })
    }

    /// The volumes of this deployment in whose directories that of `volume` lies.
    pub fn around(&self, volume: &str) -> Vec<String> {
        let inner = self.lock();
        let holders = [
            Holder::Own(volume.to_owned()),
            Holder::Volume(volume.to_owned()),
        ];
        let directory = holders.iter().find_map(|holder| inner.held.get(holder));
        let mut parent = directory.and_then(RelativePath::parent);
        let mut found = Vec::new();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            let holders = inner.by_directory.get(&path).into_iter().flatten();
            found.extend(holders.filter_map(|holder| match holder {
                Holder::Own(outer) if outer != volume => Some(outer.clone()),
                _ => None,
            }));
            parent = path.parent();
        }
        found
    }

    /// What else has `directory` or lies in it: records, volume objects, reservations. A volume
    /// object with a record of ours is listed once, with it.
    pub fn others(&self, volume: &str, directory: &RelativePath) -> Vec<Neighbour> {
        let mut found = self.lock().neighbours(volume, directory);
        found.retain(|neighbour| neighbour.relation != Relation::Inside);
        found
    }

    /// Whether a record of this deployment says that `parent` was made here.
    pub fn is_made_here(&self, parent: &RelativePath) -> bool {
        let inner = self.lock();
        inner
            .by_directory
            .range(parent.clone()..)
            .take_while(|(path, _)| parent.contains(path))
            .flat_map(|(_, holders)| holders)
            .filter_map(|holder| match holder {
                Holder::Own(volume) => inner.own.get(volume),
                Holder::Foreign(..) | Holder::Volume(_) => None,
            })
            .any(|record| record.parents.contains(parent))
    }

    /// Every directory that lies around a volume's: the parents of all of them.
    pub fn parents(&self) -> BTreeSet<RelativePath> {
        let inner = self.lock();
        let mut parents = BTreeSet::new();
        for directory in inner.by_directory.keys() {
            let mut parent = directory.parent();
            while let Some(path) = parent.filter(|path| !path.is_root()) {
                parent = path.parent();
                if !parents.insert(path) {
                    break;
                }
            }
        }
        parents
    }

    /// Takes the directory of a volume object.
    pub fn set_volume(&self, volume: &str, directory: Option<&RelativePath>) {
        let mut inner = self.lock();
        let holder = Holder::Volume(volume.to_owned());
        if let Some(directory) = directory {
            inner.hold(holder, directory, None);
        } else {
            inner.drop_holder(&holder);
            inner.ended.remove(volume);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set_own(&mut self, record: Record) {
        self.ended.remove(&record.volume);
        self.hold(
            Holder::Own(record.volume.clone()),
            &record.directory,
            record.identity,
        );
        self.by_claim
            .entry(record.claim.uid.clone())
            .or_default()
            .insert(record.volume.clone());
        self.own.insert(record.volume.clone(), record);
    }

    fn has_ended(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Volume(volume) if self.ended.contains(volume))
    }

    fn record_of(&self, holder: &Holder) -> Option<&Record> {
        match holder {
            Holder::Own(volume) => self.own.get(volume),
            Holder::Foreign(owner, volume) => self.foreign.get(&(owner.clone(), volume.clone())),
            Holder::Volume(_) => None,
        }
    }

    fn hold(
        &mut self,
        holder: Holder,
        directory: &RelativePath,
        identity: Option<DirectoryIdentity>,
    ) {
        self.drop_holder(&holder);
        self.by_directory
            .entry(directory.clone())
            .or_default()
            .insert(holder.clone());
        if let Some(identity) = identity {
            self.by_file
                .entry(identity.fileid)
                .or_default()
                .insert(holder.clone());
        }
        self.held.insert(holder, directory.clone());
    }

    fn drop_holder(&mut self, holder: &Holder) {
        let Some(directory) = self.held.remove(holder) else {
            return;
        };
        if let Some(holders) = self.by_directory.get_mut(&directory) {
            holders.remove(holder);
            if holders.is_empty() {
                self.by_directory.remove(&directory);
            }
        }
        let file = self
            .record_of(holder)
            .and_then(|record| record.identity)
            .map(|identity| identity.fileid);
        if let Some(holders) = file.and_then(|file| self.by_file.get_mut(&file)) {
            holders.remove(holder);
        }
        if let Some(file) =
            file.filter(|file| self.by_file.get(file).is_some_and(BTreeSet::is_empty))
        {
            self.by_file.remove(&file);
        }
    }

    fn neighbours(&self, volume: &str, directory: &RelativePath) -> Vec<Neighbour> {
        let mut found = Vec::new();
        let mut add = |relation, path: &RelativePath, holders: &BTreeSet<Holder>| {
            for holder in holders.iter().filter(|holder| holder.volume() != volume) {
                // A volume object with a record is there twice; the record says more.
                let recorded = holders.contains(&Holder::Own(holder.volume().to_owned()));
                if matches!(holder, Holder::Volume(_)) && (recorded || self.has_ended(holder)) {
                    continue;
                }
                let record = match holder {
                    Holder::Own(volume) => self.own.get(volume).cloned(),
                    Holder::Foreign(..) | Holder::Volume(_) => None,
                };
                found.push(Neighbour {
                    relation,
                    volume: holder.volume().to_owned(),
                    directory: path.clone(),
                    record,
                });
            }
        };
        let mut parent = directory.parent();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            if let Some(holders) = self.by_directory.get(&path) {
                add(Relation::Inside, &path, holders);
            }
            parent = path.parent();
        }
        // Components compare one by one, so everything below a directory follows it at once.
        for (path, holders) in self
            .by_directory
            .range(directory.clone()..)
            .take_while(|(path, _)| directory.contains(path))
        {
            let relation = if path == directory {
                Relation::Same
            } else {
                Relation::Around
            };
            add(relation, path, holders);
        }
        found
    }
}

#[cfg(test)]
mod tests;

//! All records and all directories of volumes in memory, by component, so that overlap is judged
//! without asking the export.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::decide::{Neighbour, Placement, Refusal, Relation};
use crate::path::RelativePath;
use crate::records::{DirectoryIdentity, Record};

mod few;

use few::Few;

/// Who holds a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Holder {
    /// A record of this deployment, or a reservation that becomes one.
    Own(Arc<str>),
    /// A record of another deployment. In a box, for there are few of these and thousands of the others.
    Foreign(Box<Foreign>),
    /// A volume object, with or without a record.
    Volume(Arc<str>),
}

/// A volume of another deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Foreign {
    owner: Arc<str>,
    volume: Arc<str>,
}

impl Holder {
    fn volume(&self) -> &Arc<str> {
        match self {
            Self::Own(volume) | Self::Volume(volume) => volume,
            Self::Foreign(foreign) => &foreign.volume,
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
    own: HashMap<Arc<str>, Box<Record>>,
    foreign: HashMap<(String, String), Record>,
    held: HashMap<Holder, RelativePath>,
    by_directory: BTreeMap<RelativePath, Few<Holder>>,
    by_claim: HashMap<String, Few<Arc<str>>>,
    by_file: HashMap<u64, Few<Holder>>,
    /// Volumes whose record is gone and whose object is too, which the watch has yet to show: they
    /// have no directory any more.
    ended: HashSet<Arc<str>>,
}

impl Index {
    /// Forgets the records of this deployment, to take them anew.
    pub fn forget_own(&self) {
        let mut inner = self.lock();
        let names: Vec<Arc<str>> = inner.own.keys().cloned().collect();
        for name in names {
            inner.drop_holder(&Holder::Own(name));
        }
        inner.own.clear();
        inner.by_claim.clear();
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
        for (owner, mut record) in records {
            let holder = Holder::Foreign(Box::new(Foreign {
                owner: owner.as_str().into(),
                volume: record.volume.as_str().into(),
            }));
            record.directory = inner.hold(holder, &record.directory, record.identity);
            inner.foreign.insert((owner, record.volume.clone()), record);
        }
    }

    /// The record of a volume.
    pub fn record(&self, volume: &str) -> Option<Record> {
        self.lock().own.get(volume).map(|record| (**record).clone())
    }

    /// The records made for a claim.
    pub fn of_claim(&self, uid: &str) -> Vec<Record> {
        let inner = self.lock();
        let volumes = inner.by_claim.get(uid).into_iter().flat_map(Few::iter);
        volumes
            .filter_map(|volume| inner.own.get(volume).map(|record| (**record).clone()))
            .collect()
    }

    /// What `pick` takes of the records of this deployment: there may be thousands, of which no copy
    /// is made. It must not use the index.
    pub fn own<T>(&self, pick: impl FnMut(&Record) -> Option<T>) -> Vec<T> {
        let inner = self.lock();
        inner
            .own
            .values()
            .map(Box::as_ref)
            .filter_map(pick)
            .collect()
    }

    /// How many records this deployment has.
    pub fn own_count(&self) -> usize {
        self.lock().own.len()
    }

    /// Whether a volume has a record of this deployment.
    pub fn is_recorded(&self, volume: &str) -> bool {
        self.lock().own.contains_key(volume)
    }

    /// Shows every record of this deployment without a copy. `look` must not use the index.
    pub fn for_each_own(&self, look: impl FnMut(&Record)) {
        self.lock().own.values().map(Box::as_ref).for_each(look);
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
        let name = inner.name(volume);
        inner.drop_holder(&Holder::Own(name.clone()));
        if let Some(record) = inner.own.remove(volume) {
            if inner.held.contains_key(&Holder::Volume(name.clone())) {
                inner.ended.insert(name.clone());
            }
            let uid = record.claim.uid;
            if let Some(volumes) = inner.by_claim.get_mut(&uid) {
                volumes.remove(&name);
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
        let holder = Holder::Own(inner.name(volume));
        inner.hold(holder, directory, None);
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
            .filter(|holder| **holder.volume() != *except)
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
            .range::<RelativePath, _>(directory..)
            .take_while(|(path, _)| directory.contains(path))
            .flat_map(|(_, holders)| holders.iter())
            .any(|holder| {
                matches!(holder, Holder::Own(volume) if **volume != *except)
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
            .range::<RelativePath, _>(directory..)
            .take_while(|(path, _)| directory.contains(path))
            .filter(|(path, _)| *path != directory)
            .find_map(|(path, holders)| {
                let other = holders
                    .iter()
                    .find(|holder| **holder.volume() != *except && !inner.has_ended(holder))?;
                Some((other.volume().to_string(), path.clone()))
            })
    }

    /// The volumes of this deployment in whose directories that of `volume` lies.
    pub fn around(&self, volume: &str) -> Vec<String> {
        let inner = self.lock();
        let name = inner.name(volume);
        let holders = [Holder::Own(name.clone()), Holder::Volume(name)];
        let directory = holders.iter().find_map(|holder| inner.held.get(holder));
        let mut parent = directory.and_then(RelativePath::parent);
        let mut found = Vec::new();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            let holders = inner
                .by_directory
                .get(&path)
                .into_iter()
                .flat_map(Few::iter);
            found.extend(holders.filter_map(|holder| match holder {
                Holder::Own(outer) if **outer != *volume => Some(outer.to_string()),
                _ => None,
            }));
            parent = path.parent();
        }
        found
    }

    /// The directory of a volume object.
    pub fn directory_of(&self, volume: &str) -> Option<RelativePath> {
        let inner = self.lock();
        let holder = Holder::Volume(inner.name(volume));
        inner.held.get(&holder).cloned()
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
            .range::<RelativePath, _>(parent..)
            .take_while(|(path, _)| parent.contains(path))
            .flat_map(|(_, holders)| holders.iter())
            .filter_map(|holder| match holder {
                Holder::Own(volume) => inner.own.get(&**volume),
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
        let holder = Holder::Volume(inner.name(volume));
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
    /// A volume's name as it is kept already, since each has several places here.
    fn name(&self, volume: &str) -> Arc<str> {
        if let Some((name, _)) = self.own.get_key_value(volume) {
            return name.clone();
        }
        let name: Arc<str> = volume.into();
        let kept = [Holder::Own(name.clone()), Holder::Volume(name.clone())]
            .iter()
            .find_map(|holder| Some(self.held.get_key_value(holder)?.0.volume().clone()));
        kept.unwrap_or(name)
    }

    fn set_own(&mut self, mut record: Record) {
        let name = self.name(&record.volume);
        self.ended.remove(&name);
        let holder = Holder::Own(name.clone());
        record.directory = self.hold(holder, &record.directory, record.identity);
        self.by_claim
            .entry(record.claim.uid.clone())
            .or_default()
            .insert(name.clone());
        self.own.insert(name, Box::new(record));
    }

    fn has_ended(&self, holder: &Holder) -> bool {
        matches!(holder, Holder::Volume(volume) if self.ended.contains(&**volume))
    }

    fn record_of(&self, holder: &Holder) -> Option<&Record> {
        match holder {
            Holder::Own(volume) => self.own.get(&**volume).map(Box::as_ref),
            Holder::Foreign(foreign) => {
                let Foreign { owner, volume } = &**foreign;
                self.foreign.get(&(owner.to_string(), volume.to_string()))
            }
            Holder::Volume(_) => None,
        }
    }

    /// Notes who holds a directory; its path as it is kept.
    fn hold(
        &mut self,
        holder: Holder,
        directory: &RelativePath,
        identity: Option<DirectoryIdentity>,
    ) -> RelativePath {
        self.drop_holder(&holder);
        let directory = match self.by_directory.get_key_value(directory) {
            // One copy for all that name it.
            Some((known, _)) => known.clone(),
            None => directory.clone(),
        };
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
        directory
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
        if let Some(file) = file.filter(|file| self.by_file.get(file).is_some_and(Few::is_empty)) {
            self.by_file.remove(&file);
        }
    }

    fn neighbours(&self, volume: &str, directory: &RelativePath) -> Vec<Neighbour> {
        let mut found = Vec::new();
        let mut add = |relation, path: &RelativePath, holders: &Few<Holder>| {
            for holder in holders.iter().filter(|holder| **holder.volume() != *volume) {
                // A volume object with a record is there twice; the record says more.
                let recorded = holders.contains(&Holder::Own(holder.volume().clone()));
                if matches!(holder, Holder::Volume(_)) && (recorded || self.has_ended(holder)) {
                    continue;
                }
                let record = match holder {
                    Holder::Own(volume) => self.own.get(&**volume).map(|record| (**record).clone()),
                    Holder::Foreign(..) | Holder::Volume(_) => None,
                };
                found.push(Neighbour {
                    relation,
                    volume: holder.volume().to_string(),
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
            .range::<RelativePath, _>(directory..)
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

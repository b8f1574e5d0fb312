//! All records and all directories of volumes in memory, by component, so that overlap is judged
//! without asking the export.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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

    /// Forgets a record or a reservation.
    pub fn remove(&self, volume: &str) {
        let mut inner = self.lock();
        inner.drop_holder(&Holder::Own(volume.to_owned()));
        if let Some(record) = inner.own.remove(volume) {
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
        match directory {
            Some(directory) => inner.hold(holder, directory, None),
            None => inner.drop_holder(&holder),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set_own(&mut self, record: Record) {
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
                if matches!(holder, Holder::Volume(_)) && recorded {
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
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::records::{State, example};

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    fn relations(index: &Index, volume: &str, directory: &str) -> Vec<(Relation, String)> {
        let mut seen = Vec::new();
        let refused = Refusal::Block;
        let result = index.reserve(volume, &path(directory), |neighbours| {
            seen.extend(
                neighbours
                    .into_iter()
                    .map(|neighbour| (neighbour.relation, neighbour.volume)),
            );
            Err(refused.clone())
        });
        assert_eq!(result, Err(refused), "nothing is reserved");
        seen
    }

    #[rstest]
    #[case("a/b", &[(Relation::Same, "pvc-1")])]
    #[case("a", &[(Relation::Around, "pvc-1")])]
    #[case("a/b/c", &[(Relation::Inside, "pvc-1")])]
    #[case("a/b-1", &[])]
    #[case("a/bc", &[])]
    #[case("a/a", &[])]
    #[case("b", &[])]
    fn neighbours_are_found_by_component(
        #[case] directory: &str,
        #[case] expected: &[(Relation, &str)],
    ) {
        let index = Index::default();
        index.set(example());
        index.set_volume("pvc-1", Some(&path("a/b")));
        let expected: Vec<_> = expected
            .iter()
            .map(|(relation, volume)| (*relation, (*volume).to_owned()))
            .collect();
        assert_eq!(relations(&index, "pvc-2", directory), expected);
        assert_eq!(
            relations(&index, "pvc-1", directory),
            [],
            "a volume is no neighbour of itself"
        );
    }

    #[test]
    fn of_two_reservations_the_second_sees_the_first_until_it_is_dropped() {
        let index = Index::default();
        index
            .reserve("one", &path("x"), |_| Ok(Placement::Free))
            .unwrap();
        assert_eq!(
            relations(&index, "two", "x/y"),
            [(Relation::Inside, "one".to_owned())]
        );
        index.remove("one");
        assert_eq!(relations(&index, "two", "x/y"), []);
    }

    #[test]
    fn volumes_and_records_of_others_count_and_go() {
        let index = Index::default();
        index.set_volume("static", Some(&path("s")));
        index.load_foreign(vec![("other".to_owned(), example())]);
        assert_eq!(
            relations(&index, "new", "s"),
            [(Relation::Same, "static".to_owned())]
        );
        assert_eq!(
            relations(&index, "new", "a"),
            [(Relation::Around, "pvc-1".to_owned())]
        );
        assert_eq!(index.foreign_owner_of("1").as_deref(), Some("other"));
        index.set_volume("static", None);
        index.load_foreign(Vec::new());
        assert_eq!(relations(&index, "new", "s"), []);
        assert_eq!(relations(&index, "new", "a"), []);
        assert_eq!(index.foreign_owner_of("1"), None);
    }

    #[test]
    fn a_directory_is_known_again_by_its_identity() {
        let index = Index::default();
        let record = example();
        let identity = record.identity.unwrap();
        index.set(record);
        assert_eq!(
            index.identified("new", &identity),
            Some(("pvc-1".to_owned(), path("a/b")))
        );
        assert_eq!(index.identified("pvc-1", &identity), None);
        index.set(Record {
            identity: None,
            state: State::Intent,
            ..example()
        });
        assert_eq!(index.identified("new", &identity), None);
        index.set(example());
        index.remove("pvc-1");
        assert_eq!(index.identified("new", &identity), None);
        assert!(index.of_claim("1").is_empty());
    }

    #[test]
    fn parents_of_all_directories_are_listed_once() {
        let index = Index::default();
        index.set(example());
        index.set_volume("v", Some(&path("a/c/d")));
        let parents: Vec<String> = index.parents().iter().map(ToString::to_string).collect();
        assert_eq!(parents, ["a", "a/c"]);
    }
}

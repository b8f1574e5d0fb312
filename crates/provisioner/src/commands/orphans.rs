//! `orphans`: what lies on the export and belongs to no volume. Only trees in this deployment's own
//! trash are ever removed, and only those no record names.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, all_volumes, owner, table};
use crate::backend::{Cause, Kind};
use crate::clock::{BootClock, Fence};
use crate::config::Config;
use crate::constants::ARCHIVED_PREFIX;
use crate::decide::reclaim;
use crate::error::{Error, StepError};
use crate::export::{self, Found};
use crate::path::{Component, RelativePath, naming};
use crate::records::{Record, State};
use crate::seams::Seams;
use crate::storage::Storage;

/// One thing that belongs to no volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    kind: Orphan,
    /// Below the export's root.
    path: String,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Orphan {
    /// A tree in the trash that no record names.
    Trash,
    /// The same, removed just now.
    Removed,
    /// The same, but it could not be removed.
    Failed,
    /// An archive of a deleted volume.
    Archive,
    /// The directory of a deleted volume that was to stay.
    Kept,
    /// A record whose volume object is gone; the provisioner settles it.
    Unsettled,
    /// A directory or file nothing is known of.
    Unknown,
}

impl Orphan {
    const fn word(self) -> &'static str {
        match self {
            Self::Trash => "trash",
            Self::Removed => "removed",
            Self::Failed => "failed",
            Self::Archive => "archive",
            Self::Kept => "kept",
            Self::Unsettled => "unsettled",
            Self::Unknown => "unknown",
        }
    }
}

/// What the command found or did.
#[derive(Debug)]
pub struct Orphans {
    rows: Vec<Row>,
}

/// Lists what belongs to no volume; `remove` empties the trash of what no record names.
///
/// # Errors
/// [`Error::Api`] and [`Error::Command`] when cluster or export cannot be read.
///
/// # Access control
/// `persistentvolumes` list; `leases` and `endpoints` get, to find the id of the deployment.
pub async fn run(config: &Config, seams: &Seams, remove: bool) -> Result<Orphans, Error> {
    let volumes = all_volumes(seams).await?;
    let owner = owner(config, seams, &volumes).await?;
    let clock = Arc::new(BootClock);
    let fence = if remove {
        Fence::open(clock)
    } else {
        Fence::closed(clock)
    };
    let storage = Storage::new(
        seams.storage.clone(),
        fence,
        config.limits.storage,
        config.limits.removal,
    );
    let mut known = Known::default();
    for volume in &volumes {
        if let Some(directory) = reclaim::volume_directory(&config.target, volume) {
            known.insert(directory, Holder::Volume);
        }
    }
    let unreadable = |error: StepError| Error::Command(format!("look at the export: {error}"));
    let found = records(&storage, owner.as_deref())
        .await
        .map_err(unreadable)?;
    let names: Vec<String> = volumes.iter().map(ResourceExt::name_any).collect();
    let mut rows = Vec::new();
    for record in found
        .own
        .iter()
        .chain(found.foreign.iter().map(|(_, record)| record))
    {
        known.add_record(record);
    }
    for record in &found.own {
        if !matches!(record.state, State::Kept) && !names.contains(&record.volume) {
            rows.push(Row {
                kind: Orphan::Unsettled,
                path: record.directory.to_string(),
                message: format!(
                    "of volume {}, claim {}/{}; the provisioner settles it once the claim is gone",
                    record.volume, record.claim.namespace, record.claim.name
                ),
            });
        }
    }
    if let Some(owner) = &owner {
        rows.extend(
            trash(&storage, owner, &found.own, remove)
                .await
                .map_err(unreadable)?,
        );
    }
    rows.extend(walk(&storage, &known).await.map_err(unreadable)?);
    rows.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(Orphans { rows })
}

async fn records(storage: &Storage, owner: Option<&str>) -> Result<Found, StepError> {
    // An export without an id has no state directory: no provisioner of this kind was ever there.
    if export::read_id(storage).await?.is_none() {
        return Ok(Found::default());
    }
    match owner {
        Some(owner) => export::load(storage, owner).await,
        None => Ok(Found {
            own: Vec::new(),
            foreign: export::load_foreign(storage, "").await?,
        }),
    }
}

/// Whose a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Volume,
    Kept(String),
}

/// The directories somebody knows.
#[derive(Debug, Default)]
struct Known(BTreeMap<RelativePath, Holder>);

impl Known {
    fn insert(&mut self, directory: RelativePath, holder: Holder) {
        // A volume that uses a kept directory again outweighs the older record.
        if holder == Holder::Volume || !self.0.contains_key(&directory) {
            self.0.insert(directory, holder);
        }
    }

    fn add_record(&mut self, record: &Record) {
        let holder = match record.state {
            State::Kept => Holder::Kept(format!(
                "of claim {}/{}",
                record.claim.namespace, record.claim.name
            )),
            _ => Holder::Volume,
        };
        self.insert(record.directory.clone(), holder);
    }

    /// Whether a known directory lies below a path.
    fn is_above(&self, path: &RelativePath) -> bool {
        self.0
            .range(path.clone()..)
            .take_while(|(known, _)| path.contains(known))
            .any(|(known, _)| known != path)
    }

    /// What an entry of the export is, `None` if it is somebody's.
    fn judge(&self, path: &RelativePath, kind: Kind) -> Seen {
        match self.0.get(path) {
            Some(Holder::Volume) => return Seen::Somebodys,
            Some(Holder::Kept(message)) => return Seen::Orphan(Orphan::Kept, message.clone()),
            None => {}
        }
        let archived = path
            .leaf()
            .is_some_and(|leaf| leaf.as_str().starts_with(ARCHIVED_PREFIX));
        match kind {
            Kind::Directory if self.is_above(path) => Seen::Parent,
            Kind::Directory if archived => Seen::Orphan(Orphan::Archive, String::new()),
            Kind::Directory => Seen::Orphan(Orphan::Unknown, String::new()),
            Kind::File | Kind::Symlink | Kind::Other => {
                Seen::Orphan(Orphan::Unknown, "no directory".to_owned())
            }
        }
    }
}

/// What one entry of the export is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Somebodys,
    /// Directories of volumes lie below it.
    Parent,
    Orphan(Orphan, String),
}

/// Looks at the export's root and at every directory that lies above one of a volume.
async fn walk(storage: &Storage, known: &Known) -> Result<Vec<Row>, StepError> {
    let mut rows = Vec::new();
    let mut left = vec![RelativePath::root()];
    while let Some(directory) = left.pop() {
        for entry in storage.list(&directory).await? {
            let below = |name: &str| {
                if directory.is_root() {
                    name.to_owned()
                } else {
                    format!("{directory}/{name}")
                }
            };
            let Ok(component) = Component::new(entry.name.as_str()) else {
                rows.push(Row {
                    kind: Orphan::Unknown,
                    path: below(&entry.name),
                    message: "a name that no volume can have".to_owned(),
                });
                continue;
            };
            let path = directory.join(component);
            // The state directory, and what servers keep for themselves.
            if naming::reserved(&path).is_some() {
                continue;
            }
            match known.judge(&path, entry.stat.kind) {
                Seen::Somebodys => {}
                Seen::Parent => left.push(path),
                Seen::Orphan(kind, message) => rows.push(Row {
                    kind,
                    path: path.to_string(),
                    message,
                }),
            }
        }
    }
    Ok(rows)
}

/// The trees in the trash that no record names; each is looked up again before it is removed.
async fn trash(
    storage: &Storage,
    owner: &str,
    own: &[Record],
    remove: bool,
) -> Result<Vec<Row>, StepError> {
    let directory = export::trash_directory(owner);
    let entries = match storage.list(&directory).await {
        Ok(entries) => entries,
        Err(error) if error.cause == Cause::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut rows = Vec::new();
    for entry in entries {
        let (Ok(name), false) = (
            Component::new(entry.name.as_str()),
            own.iter().any(|record| record.volume == entry.name),
        ) else {
            continue;
        };
        let path = directory.join(name);
        let record = export::record_path(owner, &entry.name);
        let (kind, message) = if !remove || storage.read_file(&record).await?.is_some() {
            (Orphan::Trash, "--remove removes it".to_owned())
        } else {
            match storage.remove_tree(&path).await {
                Ok(()) => (Orphan::Removed, String::new()),
                Err(error) => (Orphan::Failed, format!("failed to {error}")),
            }
        };
        rows.push(Row {
            kind,
            path: path.to_string(),
            message,
        });
    }
    Ok(rows)
}

impl Report for Orphans {
    fn table(&self) -> String {
        let rows: Vec<[String; 3]> = self
            .rows
            .iter()
            .map(|row| {
                [
                    row.kind.word().to_owned(),
                    row.path.clone(),
                    row.message.clone(),
                ]
            })
            .collect();
        let number = table::count(self.rows.len(), "entry").replace("entrys", "entries");
        format!(
            "{}{number} of no volume. Nothing but trash is ever removed by the provisioner.\n",
            table::columns(["KIND", "PATH", "WHAT"], &rows)
        )
    }

    fn json(&self) -> Value {
        json!({ "schema": "nfs-provisioner/orphans/v1", "entries": self.rows })
    }

    fn complaint(&self) -> Option<String> {
        let failed = self
            .rows
            .iter()
            .filter(|row| row.kind == Orphan::Failed)
            .count();
        (failed > 0).then(|| format!("{} in the trash not removed", table::count(failed, "tree")))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    #[rstest]
    #[case("ns/a", Kind::Directory, Seen::Somebodys)]
    #[case("ns", Kind::Directory, Seen::Parent)]
    #[case("left", Kind::Directory, Seen::Orphan(Orphan::Kept, "x".to_owned()))]
    #[case(
        "archived-b",
        Kind::Directory,
        Seen::Orphan(Orphan::Archive, String::new())
    )]
    #[case(
        "ns/archived-b",
        Kind::Directory,
        Seen::Orphan(Orphan::Archive, String::new())
    )]
    #[case("other", Kind::Directory, Seen::Orphan(Orphan::Unknown, String::new()))]
    #[case("nsx", Kind::Directory, Seen::Orphan(Orphan::Unknown, String::new()))]
    #[case("file", Kind::File, Seen::Orphan(Orphan::Unknown, "no directory".to_owned()))]
    fn what_belongs_to_no_volume_is_told_apart(
        #[case] entry: &str,
        #[case] kind: Kind,
        #[case] expected: Seen,
    ) {
        let mut known = Known::default();
        known.insert(path("ns/a"), Holder::Volume);
        known.insert(path("left"), Holder::Kept("x".to_owned()));
        assert_eq!(known.judge(&path(entry), kind), expected);
    }

    #[test]
    fn a_volume_in_a_kept_directory_outweighs_the_older_record() {
        let mut known = Known::default();
        known.insert(path("a"), Holder::Kept("x".to_owned()));
        known.insert(path("a"), Holder::Volume);
        known.insert(path("a"), Holder::Kept("y".to_owned()));
        assert_eq!(known.judge(&path("a"), Kind::Directory), Seen::Somebodys);
    }
}

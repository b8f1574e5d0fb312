//! The state directory at the export's root, and the export's identity.
//!
//! ```text
//! .claimcheck/                   mode 0700
//!   export-id/id                 a random id, made once for the export
//!   <owner>/records/<volume>     one record per volume
//!   <owner>/trash/<volume>       a tree on its way out
//!   <owner>/taken-over           volumes that were there before have their records
//! ```
//!
//! Source: nfs-subdir #225 #332 (directories made where nothing was mounted), #310 (two
//! deployments of one name).

use futures::{StreamExt, TryStreamExt};

use crate::backend::{Cause, Entry, Kind, Stat, is_temporary};
use crate::constants::{RECORDS, STATE_DIRECTORY};
use crate::error::StepError;
use crate::index::Index;
use crate::path::{Component, RelativePath};
use crate::records::Record;
use crate::storage::{Storage, cause};

mod expected;

pub(crate) use expected::{Named, expected, has_record};

/// Permission bits of everything in the state directory.
const STATE_MODE: u32 = 0o700;
/// Records read at once.
const CONCURRENT: usize = 16;
/// Directories looked for to tell whether an export is the right one.
const LOOKED_FOR: usize = 100;
/// Attempts to make the id while others make it too.
const ATTEMPTS: usize = 8;

/// What is known of the export once it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its random id.
    pub id: String,
    /// The file system of its root.
    pub root: u64,
}

/// Records found on the export.
#[derive(Debug, Default)]
pub struct Found {
    /// Those of this deployment.
    pub own: Vec<Record>,
    /// Those of other deployments, with their ids. They count for overlap and are never changed.
    pub foreign: Vec<(String, Record)>,
}

fn fixed(name: &str) -> Component {
    Component::new(name).expect("names in the state directory are valid components")
}

pub(crate) fn state() -> RelativePath {
    RelativePath::root().join(fixed(STATE_DIRECTORY))
}

fn id_directory() -> RelativePath {
    state().join(fixed("export-id"))
}

/// Where a deployment keeps what it knows.
fn of_owner(owner: &str) -> RelativePath {
    state().join(fixed(owner))
}

pub(crate) fn in_owner(owner: &str, name: &str) -> RelativePath {
    of_owner(owner).join(fixed(name))
}

/// Where a volume's record is. Volume names are object names, so always valid components.
pub(crate) fn record_path(owner: &str, volume: &str) -> RelativePath {
    in_owner(owner, RECORDS).join(fixed(volume))
}

/// Where a volume's tree goes before it is removed.
pub(crate) fn trash_path(owner: &str, volume: &str) -> RelativePath {
    in_owner(owner, "trash").join(fixed(volume))
}

/// Where a deployment's trees go before they are removed.
pub(crate) fn trash_directory(owner: &str) -> RelativePath {
    in_owner(owner, "trash")
}

/// Says that the volumes which were there at a deployment's first start are taken over.
pub(crate) fn taken_over_path(owner: &str) -> RelativePath {
    in_owner(owner, "taken-over")
}

/// The export's id, if it has one.
pub(crate) async fn read_id(storage: &Storage) -> Result<Option<String>, StepError> {
    let content = storage.read_file(&id_directory().join(fixed("id"))).await?;
    Ok(content
        .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
        .filter(|text| !text.is_empty()))
}

/// Refuses an export that `owner` has not used yet and that has none of the directories of volumes
/// that name it: their own objects do not bear its id, as those that another provisioner made, so
/// nothing else tells that it is the wrong one.
///
/// # Errors
/// [`StepError::Export`] for such an export, [`StepError::Storage`] when it cannot be read.
pub(crate) async fn check_volumes(
    storage: &Storage,
    owner: &str,
    directories: &[RelativePath],
) -> Result<(), StepError> {
    let Some(first) = directories.first() else {
        return Ok(());
    };
    if storage.stat(&of_owner(owner)).await?.is_some() {
        return Ok(());
    }
    for directory in directories.iter().take(LOOKED_FOR) {
        match storage.stat(directory).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            // In the place of a parent.
            Err(error) if error.cause == Cause::NotADirectory => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StepError::Export(format!(
        "this deployment has never recorded anything on it, and of the volumes that name it none has its \
         directory there, as `{first}`; is another export mounted, or none? If these directories are gone for \
         good, make the directory {} on it",
        of_owner(owner)
    )))
}

/// Makes the export ready for `owner`: state directory, id, a write that works. `known` is the id
/// that volumes of this deployment name: an export without it, or with another one, is the wrong
/// one and is not touched.
///
/// # Errors
/// [`StepError::Export`] for the wrong export, [`StepError::Storage`] when it cannot be used.
pub async fn prepare(
    storage: &Storage,
    owner: &str,
    known: Option<&str>,
) -> Result<Export, StepError> {
    let root = storage
        .stat(&RelativePath::root())
        .await?
        .filter(|stat| stat.kind == Kind::Directory)
        .ok_or_else(|| StepError::Export("its root is no directory".to_owned()))?;
    let found = read_id(storage).await?;
    let id = match (known, found) {
        (Some(known), Some(found)) if known != found => {
            return Err(StepError::Export(format!(
                "its id is {found}, but volumes of this deployment lie on the export {known}; is another export mounted?"
            )));
        }
        (Some(known), None) => {
            return Err(StepError::Export(format!(
                "it has no id, but volumes of this deployment lie on the export {known}; is the export mounted?"
            )));
        }
        (_, Some(found)) => found,
        (None, None) => {
            storage.ensure_directory(&state(), STATE_MODE).await?;
            make_id(storage).await?
        }
    };
    for path in [
        of_owner(owner),
        in_owner(owner, RECORDS),
        in_owner(owner, "trash"),
    ] {
        if storage.stat(&path).await?.is_none() {
            storage.ensure_directory(&path, STATE_MODE).await?;
        }
    }
    let probe = in_owner(owner, "probe");
    storage
        .write_file(&probe, b"written to see that it can be\n")
        .await?;
    storage.remove_file(&probe).await?;
    Ok(Export {
        id,
        root: root.identity.fsid,
    })
}

/// Makes the id by renaming a directory that holds it to a name nobody has: of several processes
/// one succeeds, and the others read what it wrote.
async fn make_id(storage: &Storage) -> Result<String, StepError> {
    for _ in 0..ATTEMPTS {
        if let Some(id) = read_id(storage).await? {
            return Ok(id);
        }
        let id = uuid::Uuid::new_v4().to_string();
        let draft = state().join(fixed(&format!("new-{id}")));
        storage.make_directory(&draft, STATE_MODE).await?;
        storage
            .write_file(&draft.join(fixed("id")), format!("{id}\n").as_bytes())
            .await?;
        match storage.rename_directory(&draft, &id_directory()).await {
            Ok(()) => return Ok(id),
            Err(error) => {
                // Whatever happened, reading tells: at the next turn, or just below.
                storage.remove_file(&draft.join(fixed("id"))).await.ok();
                storage.remove_directory(&draft).await.ok();
                if !matches!(
                    cause(&error),
                    Some(Cause::AlreadyExists | Cause::NotEmpty | Cause::NotFound)
                ) {
                    return match read_id(storage).await? {
                        Some(id) => Ok(id),
                        None => Err(error),
                    };
                }
            }
        }
        if read_id(storage).await?.is_none() {
            // An empty directory that a process which died in between reserved. One that is
            // not empty by now is not removed.
            storage.remove_directory(&id_directory()).await.ok();
        }
    }
    Err(StepError::Export(format!(
        "its id could not be made in {ATTEMPTS} attempts"
    )))
}

/// Confirms before a destructive step that the export is still the one found at start.
///
/// # Errors
/// [`StepError::Export`] when it is not.
pub(crate) async fn confirm(storage: &Storage, id: &str) -> Result<(), StepError> {
    let found = read_id(storage).await?;
    storage.set_confirmed(found.as_deref() == Some(id));
    match found {
        Some(found) if found == id => Ok(()),
        Some(found) => Err(StepError::Export(format!(
            "its id is {found}, it was {id} at start"
        ))),
        None => Err(StepError::Export(format!(
            "its id is gone, it was {id} at start; is it still mounted?"
        ))),
    }
}

/// [`confirm`], unless that was done a moment ago and no call has made it doubtful since: for steps
/// that make something, which are many.
///
/// # Errors
/// [`StepError::Export`] when it is another one.
pub(crate) async fn confirm_recent(storage: &Storage, id: &str) -> Result<(), StepError> {
    if storage.is_confirmed() {
        return Ok(());
    }
    confirm(storage, id).await
}

/// What belongs to no volume, by volume name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Trees in the trash without a record.
    pub(crate) trash: Vec<String>,
    /// Files among the records that no record of ours is known from.
    pub(crate) unreadable: Vec<String>,
    /// Records whose file is gone.
    pub(crate) lost: Vec<String>,
}

/// Compares the state directory of a deployment with the records in memory. Work goes on
/// meanwhile, so whatever looks wrong is looked at once more.
///
/// # Errors
/// [`StepError::Storage`] when a directory cannot be listed.
pub(crate) async fn survey(
    storage: &Storage,
    owner: &str,
    index: &Index,
) -> Result<Survey, StepError> {
    let mut survey = Survey::default();
    let mut missing = std::collections::HashSet::new();
    index.for_each_own(|record| {
        missing.insert(record.volume.clone());
    });
    for entry in list_or_nothing(storage, &in_owner(owner, RECORDS)).await? {
        if !missing.remove(&entry.name)
            && entry.stat.kind == Kind::File
            && !is_temporary(&entry.name)
            && !index.is_recorded(&entry.name)
            && is_there(storage, &in_owner(owner, RECORDS), &entry.name).await?
        {
            survey.unreadable.push(entry.name);
        }
    }
    for volume in missing {
        if storage.stat(&record_path(owner, &volume)).await?.is_none() && index.is_recorded(&volume)
        {
            survey.lost.push(volume);
        }
    }
    for entry in list_or_nothing(storage, &in_owner(owner, "trash")).await? {
        if !index.is_recorded(&entry.name)
            && is_there(storage, &in_owner(owner, "trash"), &entry.name).await?
        {
            survey.trash.push(entry.name);
        }
    }
    Ok(survey)
}

async fn list_or_nothing(
    storage: &Storage,
    directory: &RelativePath,
) -> Result<Vec<Entry>, StepError> {
    match storage.list(directory).await {
        Ok(entries) => Ok(entries),
        Err(error) if error.cause == Cause::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

async fn is_there(
    storage: &Storage,
    directory: &RelativePath,
    name: &str,
) -> Result<bool, StepError> {
    // A name that is no component was made by somebody else; it is there.
    let Ok(component) = Component::new(name) else {
        return Ok(true);
    };
    Ok(storage.stat(&directory.join(component)).await?.is_some())
}

/// Reads every record on the export. One that cannot be read is logged and left alone, and so is
/// its volume.
///
/// # Errors
/// [`StepError::Storage`] when a directory cannot be listed.
pub async fn load(storage: &Storage, owner: &str) -> Result<Found, StepError> {
    let mut found = Found::default();
    each_record(storage, owner, |record| found.own.push(record)).await?;
    found.foreign = load_foreign(storage, owner).await?;
    Ok(found)
}

/// Reads the records of other deployments.
///
/// # Errors
/// [`StepError::Storage`] when a directory cannot be listed.
pub async fn load_foreign(
    storage: &Storage,
    owner: &str,
) -> Result<Vec<(String, Record)>, StepError> {
    let mut foreign = Vec::new();
    for other in foreign_owners(storage, owner).await? {
        let take = |record| foreign.push((other.clone(), record));
        each_record(storage, &other, take).await?;
    }
    Ok(foreign)
}

/// The record that another deployment has for a volume of this name, as for a claim that both
/// serve, with its id. A listing may miss a file that is being replaced; a look for its name does
/// not.
///
/// # Errors
/// [`StepError::Storage`] when a directory cannot be listed or a record cannot be read.
pub(crate) async fn foreign_record(
    storage: &Storage,
    owner: &str,
    volume: &str,
) -> Result<Option<(String, Record)>, StepError> {
    for other in foreign_owners(storage, owner).await? {
        let path = record_path(&other, volume);
        let is_file = |stat: &Stat| stat.kind == Kind::File;
        if !storage.stat(&path).await?.as_ref().is_some_and(is_file) {
            continue;
        }
        let bytes = storage.read_file(&path).await?;
        let record = bytes.and_then(|bytes| Record::from_bytes(volume, &bytes).ok());
        if let Some(record) = record {
            return Ok(Some((other, record)));
        }
    }
    Ok(None)
}

/// The deployments that have a place for records on the export, without this one.
async fn foreign_owners(storage: &Storage, owner: &str) -> Result<Vec<String>, StepError> {
    let entries = storage.list(&state()).await?;
    let others = entries.into_iter().filter(|entry| {
        entry.stat.kind == Kind::Directory
            && entry.name != owner
            && entry.name != "export-id"
            && !entry.name.starts_with("new-")
            && Component::new(entry.name.as_str()).is_ok()
    });
    Ok(others.map(|entry| entry.name).collect())
}

/// Gives every record of a deployment to `take`, in no order, as soon as it is read: there may be
/// thousands. What cannot be read is logged and left out.
///
/// # Errors
/// [`StepError::Storage`] when a directory cannot be listed or a file cannot be read; `take` may have
/// been given some by then.
pub(crate) async fn each_record(
    storage: &Storage,
    owner: &str,
    mut take: impl FnMut(Record),
) -> Result<(), StepError> {
    let directory = in_owner(owner, RECORDS);
    let entries = list_or_nothing(storage, &directory).await?;
    let names = entries
        .into_iter()
        .filter(|entry| entry.stat.kind == Kind::File && !is_temporary(&entry.name));
    futures::stream::iter(names.map(|entry| {
        let directory = directory.clone();
        async move {
            let Ok(component) = Component::new(entry.name.as_str()) else {
                return Ok(None);
            };
            let Some(bytes) = storage.read_file(&directory.join(component)).await? else {
                return Ok(None);
            };
            match Record::from_bytes(&entry.name, &bytes) {
                Ok(record) => Ok(Some(record)),
                Err(error) => {
                    tracing::error!(owner, "failed to {error}; its volume is left alone");
                    Ok(None)
                }
            }
        }
    }))
    .buffer_unordered(CONCURRENT)
    .try_for_each(|record| {
        record.into_iter().for_each(&mut take);
        std::future::ready(Ok(()))
    })
    .await
}

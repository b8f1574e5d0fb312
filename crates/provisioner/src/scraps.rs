//! What a process that was killed leaves in the state directory beside its records: temporary files
//! of writes that were not finished, and drafts of the export's id. Nothing refers to them.
//!
//! They are removed at the start, under the lock, when nobody else writes records of this
//! deployment. Without a lock a second process may lose a write it is in the middle of; it fails
//! there and repeats it.

use crate::backend::{Kind, is_temporary};
use crate::constants::RECORDS;
use crate::error::StepError;
use crate::export::{in_owner, state};
use crate::path::{Component, RelativePath};
use crate::storage::Storage;

/// Drafts of the export's id are named so, with something random behind it.
const DRAFT: &str = "new-";

/// Removes what is left, once the export has its id; how many files and drafts went.
///
/// # Errors
/// [`StepError`] when the export does not let it.
pub(crate) async fn remove(storage: &Storage, owner: &str) -> Result<usize, StepError> {
    let records = in_owner(owner, RECORDS);
    let mut removed = remove_temporary(storage, &records).await?;
    if let Some(own) = records.parent() {
        removed += remove_temporary(storage, &own).await?;
    }
    for entry in storage.list(&state()).await? {
        if entry.stat.kind != Kind::Directory || !entry.name.starts_with(DRAFT) {
            continue;
        }
        let Some(draft) = below(&state(), &entry.name) else {
            continue;
        };
        remove_temporary(storage, &draft).await?;
        if let Some(id) = below(&draft, "id") {
            storage.remove_file(&id).await?;
        }
        storage.remove_directory(&draft).await?;
        removed += 1;
    }
    Ok(removed)
}

async fn remove_temporary(storage: &Storage, directory: &RelativePath) -> Result<usize, StepError> {
    let mut removed = 0;
    for entry in storage.list(directory).await? {
        let temporary = entry.stat.kind == Kind::File && is_temporary(&entry.name);
        if let Some(path) = below(directory, &entry.name).filter(|_| temporary) {
            storage.remove_file(&path).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A name in a directory; `None` for one that is no component, which is nothing of ours.
fn below(directory: &RelativePath, name: &str) -> Option<RelativePath> {
    Some(directory.join(Component::new(name).ok()?))
}

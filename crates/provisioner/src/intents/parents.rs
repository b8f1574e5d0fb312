//! Parents of volumes' directories that go when nothing is left in them (local-path #524).

use crate::backend::Cause;
use crate::error::StepError;
use crate::path::RelativePath;
use crate::records::Record;
use crate::storage::cause;

use super::Share;

impl Share {
    /// `absent`, which are about to be made, and before them the parents that are there and were
    /// made here for another volume: whoever is last takes them along.
    pub(super) fn with_parents_made_here(
        &self,
        directory: &RelativePath,
        absent: Vec<RelativePath>,
    ) -> Vec<RelativePath> {
        let mut parents = absent;
        let mut parent = directory.parent();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            parent = path.parent();
            if !parents.contains(&path) && self.index.is_made_here(&path) {
                parents.push(path);
            }
        }
        parents.sort_by_key(|path| path.components().len());
        parents
    }

    /// Removes the parents of a directory that is gone, innermost first, as far as they were made
    /// here and are empty. rmdir does the judging: what holds anything stays (csi-driver-nfs #855
    /// removed whole trees), and who is about to make a directory there makes its parents anew.
    pub(super) async fn remove_parents(&self, record: &Record) -> Result<(), StepError> {
        if !record.terms.remove_parents {
            return Ok(());
        }
        for parent in record.parents.iter().rev() {
            match self.storage.remove_directory(parent).await {
                Ok(()) => {
                    tracing::debug!(pv = record.volume, dir = %parent, "removed an empty parent");
                }
                Err(error) => match cause(&error) {
                    Some(Cause::NotFound) => {}
                    Some(Cause::NotEmpty | Cause::AlreadyExists) => return Ok(()),
                    None | Some(Cause::TimedOut | Cause::Unreachable | Cause::Stale) => {
                        return Err(error);
                    }
                    // The volume is gone all the same.
                    Some(_) => {
                        tracing::warn!(pv = record.volume, dir = %parent, "failed to {error}; the empty parent stays");
                        return Ok(());
                    }
                },
            }
        }
        Ok(())
    }
}

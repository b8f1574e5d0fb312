//! Undoing what was made for a claim that wants it no more, while nothing is in it.

use crate::backend::{Cause, Kind, Stat};
use crate::error::StepError;
use crate::records::{Origin, Record, State};
use crate::storage::cause;

use super::Share;

impl Share {
    /// Undoes what was made for a claim that is gone before its volume was stored: rmdir if the
    /// directory was made here and is empty, and the record goes. A directory that is not empty, or
    /// was kept for the claim's name earlier, stays with its record.
    ///
    /// # Errors
    /// [`StepError`] when the export does not let it.
    pub async fn abandon(&self, volume: &str) -> Result<(), StepError> {
        let Some(mut record) = self.index.record(volume) else {
            return Ok(());
        };
        if !matches!(record.state, State::Intent | State::Ready) {
            return Ok(());
        }
        self.confirm().await?;
        let _turn = self.directory_turn(&record.directory).await;
        if self.sharer(&record).is_some() {
            // It only joined, or others have joined since: they have the directory.
            return self.forget(volume).await;
        }
        if let Some(kept) = &record.replaces
            && self.index.record(kept).is_some()
        {
            // The record that kept the directory still says all there is to say.
            return self.forget(volume).await;
        }
        let mut gone = false;
        let mut stays = record.replaces.is_some() && record.identity.is_some();
        if !stays && record.origin == Origin::Created {
            let found = self.storage.stat(&record.directory).await?;
            if self.may_undo(&record, found.as_ref()).await? {
                match self.storage.remove_directory(&record.directory).await {
                    Ok(()) => {
                        tracing::info!(volume, dir = %record.directory, "removed the directory of a claim that is gone");
                        gone = true;
                    }
                    Err(error) if cause(&error) == Some(Cause::NotFound) => gone = true,
                    Err(error) if cause(&error) == Some(Cause::NotEmpty) => {
                        tracing::warn!(volume, dir = %record.directory, "the claim is gone, but its directory is not empty: it is kept");
                        // Without an identity nobody knows whose bytes they are.
                        stays = record.identity.is_some();
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if gone {
            self.remove_parents(&record).await?;
        }
        if stays {
            record.state = State::Kept;
            self.write(&record).await
        } else {
            self.forget(volume).await
        }
    }

    /// Whether the directory found is what the record is about: by identity, or, before there was
    /// one, because nobody else has it.
    async fn may_undo(&self, record: &Record, found: Option<&Stat>) -> Result<bool, StepError> {
        let Some(found) = found.filter(|found| found.kind == Kind::Directory) else {
            return Ok(false);
        };
        let found = self.identity(found);
        if record.identity.is_some() {
            return Ok(self
                .rules
                .is_same_directory(record.identity.as_ref(), &found));
        }
        let holder = self
            .holder(&record.volume, &record.directory, &found)
            .await?;
        Ok(holder.is_none())
    }
}

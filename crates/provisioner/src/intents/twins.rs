//! Two processes of one deployment at work at the same time. Under a lock that cannot be; without
//! leader election nothing keeps a second replica, or the next pod of a rollout, from it. What one
//! has in memory may then be behind what the other has written, so the export is asked where it
//! matters: before a directory is planned, when it turns out to be there, when a volume has no
//! record, and before the directory of a volume that is gone is ended.
//!
//! Source: catalogue row F23.

use crate::backend::Kind;
use crate::error::StepError;
use crate::export;
use crate::records::{DirectoryIdentity, Record};

use super::Share;

impl Share {
    /// Takes the record of a volume from the export that this process does not know of. Under a
    /// lock there is none, and nothing is read.
    ///
    /// # Errors
    /// [`StepError`] when the export does not answer.
    pub(crate) async fn recall(&self, volume: &str) -> Result<(), StepError> {
        if !self.alone && self.index.record(volume).is_none() {
            let found = self.read_record(volume).await?;
            if let Some(record) = found.as_deref().and_then(|bytes| parsed(volume, bytes)) {
                self.index.set(record);
            }
        }
        Ok(())
    }

    /// The record that the other process has written for a volume, if it says that this directory
    /// was made.
    pub(super) async fn made_by_twin(
        &self,
        volume: &str,
        found: &DirectoryIdentity,
    ) -> Result<Option<Record>, StepError> {
        let written = self.written_by_twin(volume, found).await?;
        Ok(written.filter(|record| record.identity.is_some()))
    }

    /// The same, or that it is about to be made.
    pub(super) async fn written_by_twin(
        &self,
        volume: &str,
        found: &DirectoryIdentity,
    ) -> Result<Option<Record>, StepError> {
        if self.alone {
            return Ok(None);
        }
        let written = self.read_record(volume).await?;
        let record = written.as_deref().and_then(|bytes| parsed(volume, bytes));
        Ok(record.filter(|record| {
            record.identity.is_none()
                || self
                    .rules
                    .is_same_directory(record.identity.as_ref(), found)
        }))
    }

    /// Whether the other process has ended a volume that is gone: its record went last. What stands
    /// under the directory's name now may be another claim's, with a number used again.
    ///
    /// # Errors
    /// [`StepError`] when the export does not answer.
    pub(crate) async fn is_ended_by_twin(&self, volume: &str) -> Result<bool, StepError> {
        if self.alone {
            return Ok(false);
        }
        let path = export::record_path(&self.scope.owner, volume);
        if self.storage.stat(&path).await?.is_some() {
            return Ok(false);
        }
        self.confirm().await?;
        self.index.remove(volume);
        Ok(true)
    }

    async fn read_record(&self, volume: &str) -> Result<Option<Vec<u8>>, StepError> {
        let path = export::record_path(&self.scope.owner, volume);
        // Anything else of that name, a link above all, is no record of anybody.
        match self.storage.stat(&path).await? {
            Some(stat) if stat.kind == Kind::File => Ok(self.storage.read_file(&path).await?),
            _ => Ok(None),
        }
    }
}

/// A record that cannot be read was reported at the start, and its volume is left alone.
fn parsed(volume: &str, bytes: &[u8]) -> Option<Record> {
    Record::from_bytes(volume, bytes)
        .inspect_err(|error| tracing::debug!(pv = volume, "failed to {error}"))
        .ok()
}

//! Records of volumes that are taken over from another provisioner.

use crate::adopt::{Adoption, Policy};
use crate::backend::{Cause, Kind};
use crate::class::OnDelete;
use crate::error::StepError;
use crate::export;
use crate::records::{FORMAT, Record, State, Terms};

use super::Share;

/// What becomes of a volume that could be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// It has a record now, or had one already.
    Yes,
    /// It has none, because of this.
    No(String),
}

impl Share {
    /// Whether the volumes that were there at the first start on this export are taken over.
    ///
    /// # Errors
    /// [`StepError::Storage`].
    pub(crate) async fn has_taken_over(&self) -> Result<bool, StepError> {
        let marker = export::taken_over_path(&self.scope.owner);
        Ok(self.storage.stat(&marker).await?.is_some())
    }

    /// Notes that they are: what appears from now on is taken over only on request.
    ///
    /// # Errors
    /// [`StepError`] when the note cannot be written.
    pub(crate) async fn note_taken_over(&self) -> Result<(), StepError> {
        let marker = export::taken_over_path(&self.scope.owner);
        self.storage
            .write_file(&marker, b"volumes that were there before are taken over\n")
            .await
    }

    /// Records a volume that is taken over. Its directory is known by what stands there now; one
    /// that is missing is recorded as missing, and whatever appears there later is not touched.
    ///
    /// # Errors
    /// [`StepError`] when the export does not let it.
    pub(crate) async fn adopt(
        &self,
        volume: &str,
        adoption: &Adoption,
    ) -> Result<Adopted, StepError> {
        if self.index.record(volume).is_some() {
            return Ok(Adopted::Yes);
        }
        if let Some(owner) = self.index.foreign_owner_of(&adoption.claim.uid) {
            return Ok(Adopted::No(format!(
                "another deployment ({owner}) on this export has a record for its claim"
            )));
        }
        let identity = match self.storage.stat(&adoption.directory).await {
            Ok(None) => None,
            Ok(Some(stat)) if stat.kind == Kind::Directory => Some(self.identity(&stat)),
            Ok(Some(_)) => return Ok(no_directory()),
            Err(error) if error.cause == Cause::NotADirectory => return Ok(no_directory()),
            Err(error) => return Err(error.into()),
        };
        if identity.is_none() {
            tracing::warn!(pv = volume, dir = %adoption.directory, "the directory of a volume that is taken over is missing");
        }
        let (on_delete, awaits_class) = match &adoption.policy {
            Policy::Known(on_delete) => (*on_delete, None),
            // Never acted on while the class is awaited; the safest word all the same.
            Policy::AwaitsClass(class) => (OnDelete::Retain, Some(class.clone())),
        };
        self.write(&Record {
            format: FORMAT,
            volume: volume.to_owned(),
            claim: adoption.claim.clone(),
            directory: adoption.directory.clone(),
            parents: Vec::new(),
            identity,
            origin: adoption.origin,
            on_delete,
            state: State::Saved,
            archive: None,
            reclaim_policy: adoption.reclaim_policy.clone(),
            replaces: None,
            awaits_class,
            terms: Terms::default(),
            transitions: self.scope.transitions,
        })
        .await?;
        tracing::info!(pv = volume, dir = %adoption.directory, policy = ?adoption.policy, "taken over");
        Ok(Adopted::Yes)
    }

    /// Writes a record again that somebody removed from the export while this process had it. One
    /// that is there stays as it is.
    ///
    /// # Errors
    /// [`StepError`] when the export is another one or does not let it.
    pub(crate) async fn restore(&self, volume: &str) -> Result<(), StepError> {
        let Some(record) = self.index.record(volume) else {
            return Ok(());
        };
        let path = export::record_path(&self.scope.owner, volume);
        if self.storage.stat(&path).await?.is_some() {
            return Ok(());
        }
        export::confirm(&self.storage, &self.scope.export_id).await?;
        self.write(&record).await?;
        tracing::info!(pv = volume, dir = %record.directory, "the record that was removed is back");
        Ok(())
    }

    /// Notes what happens to the directory of a volume whose class was awaited.
    ///
    /// # Errors
    /// [`StepError`] when the record cannot be written.
    pub(crate) async fn settle_policy(
        &self,
        volume: &str,
        on_delete: OnDelete,
    ) -> Result<(), StepError> {
        let Some(record) = self.index.record(volume) else {
            return Ok(());
        };
        tracing::info!(pv = volume, dir = %record.directory, policy = %on_delete, "it is said now what happens to the directory");
        self.write(&Record {
            on_delete,
            awaits_class: None,
            ..record
        })
        .await
    }
}

fn no_directory() -> Adopted {
    Adopted::No("what stands at its path is no directory".to_owned())
}

//! Ending the directory of a volume: removing, archiving or keeping it.

use crate::backend::{Cause, Certainty, Kind};
use crate::class::OnDelete;
use crate::error::StepError;
use crate::export;
use crate::path::RelativePath;
use crate::records::{Record, State};
use crate::storage::cause;

use super::sharing::Standing;
use super::{Share, Slot};

/// How many names an archive may try: `archived-x`, `archived-x-<volume>`, then numbers.
const ARCHIVE_ATTEMPTS: u32 = 100;

/// How a directory ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposed {
    /// It is gone or archived: its record goes with the volume.
    Done,
    /// It stays where it is, as asked (`None`) or because of this.
    Kept(Option<String>),
    /// It stays because another volume of this deployment has it too, as said here; the record goes.
    Shared(String),
}

impl Disposed {
    /// Why a directory stays although nobody asked for that.
    pub fn kept_because(&self) -> Option<&str> {
        match self {
            Self::Done | Self::Kept(None) => None,
            Self::Kept(Some(cause)) | Self::Shared(cause) => Some(cause),
        }
    }
}

impl Share {
    /// Does to the directory of a record what is asked, or goes on with it. `slot` is given back
    /// while a tree is removed, so that a huge one blocks no other volume.
    ///
    /// # Errors
    /// [`StepError`]; the same call goes on from the record.
    pub async fn dispose(
        &self,
        volume: &str,
        how: OnDelete,
        slot: &mut Slot,
    ) -> Result<Disposed, StepError> {
        let Some(mut record) = self.index.record(volume) else {
            return Ok(Disposed::Done);
        };
        if matches!(record.state, State::Deleting | State::Archiving) {
            // Begun, so it was the last one, and nobody can have joined since.
            let how = record.terms.floor.map_or(how, |floor| how.max(floor));
            return match how {
                OnDelete::Retain => Ok(Disposed::Kept(None)),
                OnDelete::Delete => {
                    self.confirm().await?;
                    self.remove(record, slot).await
                }
                OnDelete::Archive => {
                    self.confirm().await?;
                    self.archive(record).await
                }
            };
        }
        let turn = self.directory_turn(&record.directory).await;
        if record.terms.left {
            return Ok(Disposed::Shared("others share it".to_owned()));
        }
        let last = match self.standing(&record, how) {
            Standing::Last(last) => last,
            Standing::Named(cause) => return Ok(Disposed::Kept(Some(cause))),
            Standing::Shared(other) => {
                self.leave(record, how).await?;
                return Ok(Disposed::Shared(format!("volume {other} still shares it")));
            }
        };
        if last > how && record.terms.floor != Some(last) {
            // Those who wanted it may be forgotten before this volume is.
            record.terms.floor = Some(last);
            self.write(&record).await?;
        }
        match last {
            OnDelete::Retain if last > how => Ok(Disposed::Kept(Some(
                "a volume that shared it is recorded with the policy retain".to_owned(),
            ))),
            OnDelete::Retain => Ok(Disposed::Kept(None)),
            OnDelete::Delete => {
                self.confirm().await?;
                record.state = State::Deleting;
                self.write_if_room(&record).await?;
                // From here on nobody can join.
                drop(turn);
                self.remove(record, slot).await
            }
            OnDelete::Archive => {
                self.confirm().await?;
                self.archive(record).await
            }
        }
    }

    /// The volume object is gone: the record goes, or says that the directory stays.
    ///
    /// # Errors
    /// [`StepError`] when the record cannot be written.
    pub async fn finish(&self, volume: &str, disposed: &Disposed) -> Result<(), StepError> {
        let Some(record) = self.index.record(volume) else {
            return Ok(());
        };
        let _turn = self.directory_turn(&record.directory).await;
        if record.terms.left || matches!(disposed, Disposed::Shared(_)) {
            let how = record.on_delete;
            return self.end_left(record, how).await;
        }
        let kept = matches!(disposed, Disposed::Kept(_));
        if kept && self.sharer(&record).is_some() {
            // The others have the directory still; that it stays binds them too.
            return self.end_left(record, OnDelete::Retain).await;
        }
        self.forget_testaments(&record).await?;
        if kept {
            let state = State::Kept;
            self.write(&Record { state, ..record }).await
        } else {
            self.forget(volume).await
        }
    }

    /// Removes a directory and, where that is asked for, the parents it leaves empty.
    async fn remove(&self, record: Record, slot: &mut Slot) -> Result<Disposed, StepError> {
        let disposed = self.remove_leaf(&record, slot).await?;
        if disposed == Disposed::Done {
            self.remove_parents(&record).await?;
        }
        Ok(disposed)
    }

    async fn remove_leaf(&self, record: &Record, slot: &mut Slot) -> Result<Disposed, StepError> {
        if record.state != State::Deleting {
            let state = State::Deleting;
            let record = record.clone();
            self.write_if_room(&Record { state, ..record }).await?;
        }
        let trash = export::trash_path(&self.scope.owner, &record.volume);
        match self.found(&record.directory, record).await? {
            Place::Absent => {
                self.confirm().await?;
                tracing::debug!(pv = record.volume, dir = %record.directory, "the directory is gone already");
            }
            Place::Other => {
                // A tree of ours may be on its way out all the same.
                self.empty_trash(&trash, record, slot).await?;
                return Ok(other());
            }
            // The usual volume of a deleted claim is empty or small; an empty one goes at once.
            Place::Recorded => match self.storage.remove_directory(&record.directory).await {
                Ok(()) => return Ok(Disposed::Done),
                Err(error)
                    if matches!(cause(&error), Some(Cause::NotEmpty | Cause::AlreadyExists)) =>
                {
                    match self.move_to_trash(record, &trash, slot).await {
                        Ok(()) => {}
                        // Quota trees: nothing can be renamed out of them. A full export: there is
                        // no room for a place in the trash.
                        Err(error)
                            if cause(&error) == Some(Cause::CrossDevice) || is_full(&error) =>
                        {
                            self.remove_tree(&record.directory, slot).await?;
                        }
                        Err(error) => return Err(error),
                    }
                    if self.found(&trash, record).await? == Place::Other {
                        // Swapped between the look and the rename.
                        self.put_back(&trash, record).await?;
                        return Ok(other());
                    }
                }
                Err(error) if cause(&error) == Some(Cause::NotFound) => {}
                Err(error) => return Err(error),
            },
        }
        self.empty_trash(&trash, record, slot).await
    }

    /// Writes that a directory is being removed. A full export has no room for that, and removing is
    /// what makes room: then it is known to this process alone. After a crash the directory is
    /// found again by its identity, under its own name, and the removal begins anew.
    async fn write_if_room(&self, record: &Record) -> Result<(), StepError> {
        match self.write(record).await {
            Err(error) if is_full(&error) => {
                tracing::warn!(pv = record.volume, dir = %record.directory, "no room to record the removal: it goes on without");
                self.index.set(record.clone());
                Ok(())
            }
            other => other,
        }
    }

    async fn move_to_trash(
        &self,
        record: &Record,
        trash: &RelativePath,
        slot: &mut Slot,
    ) -> Result<(), StepError> {
        let moved = self.storage.rename_directory(&record.directory, trash);
        match moved.await {
            Err(error) if cause(&error) == Some(Cause::AlreadyExists) => {
                // The empty reservation of an interrupted rename.
                self.empty_trash(trash, record, slot).await?;
                self.storage
                    .rename_directory(&record.directory, trash)
                    .await
            }
            other => other,
        }
    }

    /// Removes what is in the trash for a record, if it is the recorded directory; an empty one is
    /// the reservation of an interrupted rename; anything else goes back where it was taken from.
    async fn empty_trash(
        &self,
        trash: &RelativePath,
        record: &Record,
        slot: &mut Slot,
    ) -> Result<Disposed, StepError> {
        match self.found(trash, record).await? {
            Place::Absent => Ok(Disposed::Done),
            Place::Recorded => {
                self.remove_tree(trash, slot).await?;
                Ok(Disposed::Done)
            }
            Place::Other => match self.storage.remove_directory(trash).await {
                Ok(()) => Ok(Disposed::Done),
                Err(error) if cause(&error) == Some(Cause::NotFound) => Ok(Disposed::Done),
                Err(error)
                    if matches!(cause(&error), Some(Cause::NotEmpty | Cause::AlreadyExists)) =>
                {
                    self.put_back(trash, record).await?;
                    Ok(other())
                }
                Err(error) => Err(error),
            },
        }
    }

    async fn put_back(&self, trash: &RelativePath, record: &Record) -> Result<(), StepError> {
        tracing::warn!(pv = record.volume, dir = %record.directory, "another directory was taken for the recorded one: it is put back");
        let back = self.storage.rename_directory(trash, &record.directory);
        back.await
    }

    /// That something is absent means something on the right export only.
    pub(super) async fn confirm(&self) -> Result<(), StepError> {
        export::confirm(&self.storage, &self.scope.export_id).await
    }

    async fn remove_tree(&self, path: &RelativePath, slot: &mut Slot) -> Result<(), StepError> {
        slot.take();
        // The semaphore is never closed.
        let _removal = self.removals.clone().acquire_owned().await.ok();
        self.storage.remove_tree(path).await
    }

    async fn archive(&self, mut record: Record) -> Result<Disposed, StepError> {
        let mut attempt = 0;
        if let (State::Archiving, Some(target)) = (record.state, record.archive.clone()) {
            // Interrupted: the target was free when it was chosen.
            match self.found(&target, &record).await? {
                Place::Recorded => return Ok(Disposed::Done),
                Place::Other
                    if self.found(&record.directory, &record).await? == Place::Recorded =>
                {
                    // Perhaps our own reservation, which is empty; anything else stays.
                    self.storage.remove_directory(&target).await.ok();
                }
                Place::Absent | Place::Other => {}
            }
        }
        loop {
            match self.found(&record.directory, &record).await? {
                Place::Recorded => {}
                Place::Absent => {
                    self.confirm().await?;
                    return Ok(Disposed::Done);
                }
                Place::Other => return Ok(other()),
            }
            let target = self.free_target(&record, &mut attempt).await?;
            if record.state != State::Archiving || record.archive.as_ref() != Some(&target) {
                record.state = State::Archiving;
                record.archive = Some(target.clone());
                self.write(&record).await?;
            }
            match self
                .storage
                .rename_directory(&record.directory, &target)
                .await
            {
                Ok(()) => return Ok(Disposed::Done),
                // Taken since we looked: the next name.
                Err(error)
                    if matches!(cause(&error), Some(Cause::AlreadyExists | Cause::NotEmpty)) =>
                {
                    attempt += 1;
                }
                Err(error) if is_uncertain(&error) => {
                    if self.found(&target, &record).await? == Place::Recorded {
                        return Ok(Disposed::Done);
                    }
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn free_target(
        &self,
        record: &Record,
        attempt: &mut u32,
    ) -> Result<RelativePath, StepError> {
        while *attempt < ARCHIVE_ATTEMPTS {
            if let Some(target) =
                self.rules
                    .archive_name(&record.directory, &record.volume, *attempt)
                && self.storage.stat(&target).await?.is_none()
            {
                return Ok(target);
            }
            *attempt += 1;
        }
        Err(StepError::Export(format!(
            "no free name is left to archive {} under",
            record.directory
        )))
    }

    async fn found(&self, path: &RelativePath, record: &Record) -> Result<Place, StepError> {
        Ok(match self.storage.stat(path).await? {
            None => Place::Absent,
            Some(stat)
                if stat.kind == Kind::Directory
                    && self
                        .rules
                        .is_same_directory(record.identity.as_ref(), &self.identity(&stat)) =>
            {
                Place::Recorded
            }
            Some(_) => Place::Other,
        })
    }
}

fn other() -> Disposed {
    Disposed::Kept(Some(
        "another directory stands in the place of the recorded one".to_owned(),
    ))
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Absent,
    Recorded,
    Other,
}

fn is_full(error: &StepError) -> bool {
    matches!(cause(error), Some(Cause::NoSpace | Cause::QuotaExceeded))
}

/// Whether a failed step may have been done all the same.
pub(super) fn is_uncertain(error: &StepError) -> bool {
    matches!(error, StepError::Storage(error) if error.certainty == Certainty::Uncertain)
}

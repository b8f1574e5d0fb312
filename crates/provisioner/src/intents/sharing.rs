//! Directories that several volumes have: who counts, who is the last one, what the last one does.
//!
//! Each volume has a record of its own and only that one is written when it goes. A volume that
//! leaves while others stay marks its record as left. Where it wanted more than a removal, the
//! record stays until the last one goes, and binds it: the most protective wish of all counts.

use crate::class::OnDelete;
use crate::decide::Relation;
use crate::error::StepError;
use crate::path::RelativePath;
use crate::records::{Record, State};

use super::{Share, Turn};

/// How a volume that is to go stands to the others that name its directory.
pub(super) enum Standing {
    /// Nobody else has it; this is done to it.
    Last(OnDelete),
    /// This volume of ours has it too.
    Shared(String),
    /// A volume that has no record of this deployment names it too.
    Named(String),
}

impl Share {
    /// Waits until nobody else joins or leaves a directory. Taken after the turn of a volume,
    /// never before one.
    pub(super) async fn directory_turn(&self, directory: &RelativePath) -> Turn<'_> {
        // No volume's name begins with a slash.
        self.turns.take(&format!("/{directory}")).await
    }

    /// A volume of this deployment that has the directory of `record` too.
    pub(super) fn sharer(&self, record: &Record) -> Option<String> {
        self.records_beside(record)
            .into_iter()
            .find(|other| !other.terms.left && other.state != State::Kept)
            .map(|other| other.volume)
    }

    /// How the volume of `record` stands to others, if `how` is what it wants to happen itself.
    pub(super) fn standing(&self, record: &Record, how: OnDelete) -> Standing {
        if let Some(sharer) = self.sharer(record) {
            return Standing::Shared(sharer);
        }
        let unrecorded = self
            .index
            .others(&record.volume, &record.directory)
            .into_iter()
            .find(|other| other.relation == Relation::Same && other.record.is_none());
        if let Some(other) = unrecorded.filter(|_| how < OnDelete::Retain) {
            return Standing::Named(format!("volume {} names it too", other.volume));
        }
        let wishes = self.records_beside(record).into_iter().map(|other| {
            if other.terms.left {
                other.on_delete
            } else {
                // One that kept the directory.
                OnDelete::Retain
            }
        });
        Standing::Last(
            wishes
                .chain(record.terms.floor)
                .fold(how, std::cmp::Ord::max),
        )
    }

    /// Marks a volume as gone from a directory that others have; `how` binds the last of them.
    pub(super) async fn leave(&self, record: Record, how: OnDelete) -> Result<(), StepError> {
        let mut left = record;
        left.terms.left = true;
        left.on_delete = how;
        self.write(&left).await
    }

    /// Ends the record of a volume that left: it stays, as kept, while others have the directory
    /// and it wants more than they have been told already.
    pub(super) async fn end_left(&self, record: Record, how: OnDelete) -> Result<(), StepError> {
        let wanted = how > OnDelete::Delete
            && self.sharer(&record).is_some()
            && !self
                .records_beside(&record)
                .iter()
                .any(|other| is_testament(other) && other.on_delete >= how);
        if !wanted {
            return self.forget(&record.volume).await;
        }
        let mut kept = record;
        kept.terms.left = true;
        kept.on_delete = how;
        kept.state = State::Kept;
        self.write(&kept).await
    }

    /// Forgets what volumes wanted that left a directory: the last one is gone.
    pub(super) async fn forget_testaments(&self, record: &Record) -> Result<(), StepError> {
        for other in self.records_beside(record) {
            if is_testament(&other) {
                self.forget(&other.volume).await?;
            }
        }
        Ok(())
    }

    /// The other records of this deployment for the same directory.
    fn records_beside(&self, record: &Record) -> Vec<Record> {
        self.index
            .others(&record.volume, &record.directory)
            .into_iter()
            .filter(|other| other.relation == Relation::Same)
            .filter_map(|other| other.record)
            // About to be forgotten: this record took its place.
            .filter(|other| Some(&other.volume) != record.replaces.as_ref())
            .collect()
    }
}

/// Whether nothing but a wish is left of a volume.
fn is_testament(record: &Record) -> bool {
    record.terms.left && record.state == State::Kept
}

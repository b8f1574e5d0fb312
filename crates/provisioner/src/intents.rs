//! What is about to happen on the export, recorded first, so that any step can be interrupted and
//! the work goes on from its record: making a directory ([`make`], where it may be by [`survey`]),
//! undoing that ([`undo`]) and ending one ([`dispose`], its [`parents`]). Several volumes may have
//! one directory ([`sharing`]).
//!
//! | found | what is done |
//! |---|---|
//! | `intent`/`ready`, claim alive | it goes on; never a second directory |
//! | `intent`/`ready`, claim gone | rmdir if it was made here and is empty, the record goes |
//! | `intent` said absent, directory exists | empty: ours; not empty: `reused` |
//! | `deleting`/`archiving` | finished, by identity |

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::class::OnDelete;
use crate::config::Config;
use crate::decide::volume::Scope;
use crate::error::StepError;
use crate::export;
use crate::index::Index;
use crate::records::{Record, State};
use crate::rules::Rules;
use crate::storage::Storage;

mod adopt;
mod dispose;
mod make;
mod parents;
mod sharing;
mod survey;
mod turns;
mod twins;
mod undo;

pub(crate) use adopt::Adopted;
pub use dispose::Disposed;
pub use make::{MakeRequest, Planned};
pub(crate) use turns::Turn;
use turns::Turns;

/// The export with its records: what the controllers act on.
pub struct Share {
    storage: Storage,
    index: Arc<Index>,
    rules: Arc<dyn Rules>,
    scope: Scope,
    removals: Arc<Semaphore>,
    turns: Turns,
    /// No other process works on the same records: there is a lock.
    alone: bool,
}

/// A slot among the volumes worked on, given back while a tree is removed.
pub type Slot = Option<OwnedSemaphorePermit>;

impl Share {
    /// Wraps an export that [`export::prepare`] made ready.
    pub fn new(
        storage: Storage,
        index: Arc<Index>,
        rules: Arc<dyn Rules>,
        scope: Scope,
        config: &Config,
    ) -> Self {
        let removals = Arc::new(Semaphore::new(config.workers.removal));
        Self {
            storage,
            index,
            rules,
            scope,
            removals,
            turns: Turns::default(),
            alone: config.leader_election,
        }
    }

    /// Waits until nobody else works on a volume: its claim and its object are two keys of two
    /// controllers, and one record.
    pub(crate) async fn turn(&self, volume: &str) -> Turn<'_> {
        self.turns.take(volume).await
    }

    /// Who and where we are.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The records in memory.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Notes that the volume object is stored.
    ///
    /// # Errors
    /// [`StepError`] when the record cannot be written.
    pub async fn saved(&self, volume: &str, reclaim_policy: Option<&str>) -> Result<(), StepError> {
        let Some(mut record) = self.index.record(volume) else {
            return Ok(());
        };
        if record.state == State::Saved && record.reclaim_policy.as_deref() == reclaim_policy {
            return Ok(());
        }
        record.state = State::Saved;
        record.reclaim_policy = reclaim_policy.map(str::to_owned);
        self.write(&record).await
    }

    /// Notes what an administrator may have changed on the volume object: its reclaim policy and
    /// what happens to its directory. Both count should the object be gone before the directory is
    /// dealt with, or the process end in between.
    ///
    /// # Errors
    /// [`StepError`] when the record cannot be written.
    pub async fn note(
        &self,
        volume: &str,
        reclaim_policy: Option<&str>,
        on_delete: Option<OnDelete>,
    ) -> Result<(), StepError> {
        let Some(record) = self.index.record(volume) else {
            return Ok(());
        };
        let noted = Record {
            reclaim_policy: reclaim_policy
                .map(str::to_owned)
                .or_else(|| record.reclaim_policy.clone()),
            on_delete: on_delete.unwrap_or(record.on_delete),
            ..record.clone()
        };
        if noted == record {
            return Ok(());
        }
        self.write(&noted).await
    }

    async fn write(&self, record: &Record) -> Result<(), StepError> {
        let path = export::record_path(&self.scope.owner, &record.volume);
        self.storage.write_file(&path, &record.to_bytes()).await?;
        self.index.set(record.clone());
        Ok(())
    }

    async fn forget(&self, volume: &str) -> Result<(), StepError> {
        self.storage
            .remove_file(&export::record_path(&self.scope.owner, volume))
            .await?;
        self.index.remove(volume);
        Ok(())
    }
}

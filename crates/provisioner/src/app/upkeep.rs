//! What goes on beside the work: the export is looked at all the time, records and trash now and
//! then. Neither changes anything itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::claims::Claims;
use crate::error::StepError;
use crate::export;
use crate::health::{ExportState, Health};
use crate::index::Index;
use crate::metrics::{Metrics, Orphans};
use crate::storage::Storage;
use crate::volumes::Volumes;

use super::Stage;
use super::watches::Watches;

/// How long a look at the export may take; one that hangs is noticed that much later.
const LOOK: Duration = Duration::from_secs(10);
/// Between two looks at an export that is away.
const AWAY: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Upkeep<'a> {
    storage: Storage,
    owner: String,
    export_id: String,
    export_check: Duration,
    sweep: Option<Duration>,
    health: &'a Health,
    metrics: Arc<Metrics>,
    index: Arc<Index>,
    claims: Arc<Claims>,
    volumes: Arc<Volumes>,
}

impl<'a> Upkeep<'a> {
    /// Of the export `id`, on which the deployment `owner` keeps its records.
    pub(super) fn new(
        storage: Storage,
        (owner, id): (&str, &str),
        watches: &Watches,
        stage: Stage<'a>,
    ) -> Self {
        let operations = stage.parts.config.operations;
        Self {
            storage: storage.with_limit(LOOK),
            owner: owner.to_owned(),
            export_id: id.to_owned(),
            export_check: operations.export_check,
            sweep: operations.sweep,
            health: stage.health,
            metrics: stage.parts.metrics.clone(),
            index: stage.parts.index.clone(),
            claims: watches.claims.clone(),
            volumes: watches.volumes.clone(),
        }
    }

    /// Never ends by itself.
    pub(super) async fn run(self) {
        let ended: (Infallible, Infallible) =
            tokio::join!(self.watch_export(), self.sweep_records());
        match ended.0 {}
    }

    async fn watch_export(&self) -> Infallible {
        loop {
            let result = self.look().await;
            let delay = if result.is_ok() {
                self.export_check
            } else {
                AWAY.min(self.export_check)
            };
            self.note(result);
            sleep(delay).await;
        }
    }

    /// That the export answers and is the right one; its room, which not every server tells.
    async fn look(&self) -> Result<(), StepError> {
        export::confirm(&self.storage, &self.export_id).await?;
        if let Ok(space) = self.storage.space().await {
            self.metrics.space(space);
        }
        Ok(())
    }

    fn note(&self, result: Result<(), StepError>) {
        self.metrics.export_ready(result.is_ok());
        match result {
            Ok(()) => {
                if self.health.set_export(ExportState::Confirmed) {
                    tracing::info!(export_id = self.export_id, "the export is back");
                    // Back-off is for what may fail again; this has been mended.
                    self.claims.queue.hasten();
                    self.volumes.queue.hasten();
                }
            }
            Err(error) => {
                let text = format!("failed to {error}");
                if self.health.set_export(ExportState::Failed(text)) {
                    tracing::warn!(
                        step = error.step(),
                        cause = error.category(),
                        "the export is away: failed to {error}"
                    );
                }
            }
        }
    }

    async fn sweep_records(&self) -> Infallible {
        self.sweep().await;
        let Some(period) = self.sweep else {
            return std::future::pending().await;
        };
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is now.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.sweep().await;
            // What an attempt left behind for whatever reason goes on from its record.
            self.volumes.catch_up();
            self.claims.catch_up();
        }
    }

    async fn sweep(&self) {
        let found = match export::survey(&self.storage, &self.owner, &self.index).await {
            Ok(found) => found,
            Err(error) => {
                self.metrics.swept(None);
                tracing::warn!(
                    step = error.step(),
                    cause = error.category(),
                    "the sweep is put off: failed to {error}"
                );
                return;
            }
        };
        for name in &found.trash {
            tracing::warn!(
                pv = name,
                "a tree in the trash has no record: it stays until `orphans --remove`"
            );
        }
        for name in &found.lost {
            tracing::error!(
                pv = name,
                "the record of a volume was removed from the export: `adopt` brings it back; without it the volume is left alone after the next start"
            );
        }
        self.metrics.swept(Some(Orphans {
            trash: found.trash.len(),
            unreadable_records: found.unreadable.len(),
            lost_records: found.lost.len(),
        }));
    }
}

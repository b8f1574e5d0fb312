//! What the HTTP port shows of a run.

use std::sync::Arc;

use crate::backend::Backend;
use crate::claims::Claims;
use crate::clock::{Clock, Fence};
use crate::health::{Health, Report};
use crate::http::Pages;
use crate::index::Index;
use crate::metrics::{Census, Metrics};
use crate::volumes::Volumes;

/// Everything that is looked at when somebody asks.
pub(super) struct Desk {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fence: Fence,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) index: Arc<Index>,
    pub(super) claims: Arc<Claims>,
    pub(super) volumes: Arc<Volumes>,
    pub(super) storage: Arc<dyn Backend>,
}

impl Desk {
    /// Counts what there is now.
    pub(super) fn census(&self) -> Census {
        let mut census = Census {
            claims_queued: self.claims.queue.len(),
            volumes_queued: self.volumes.queue.len(),
            foreign_volumes: self.volumes.unrecorded(),
            stuck_calls: self.storage.stuck_calls(),
            ..Census::default()
        };
        self.index
            .for_each_own(|record| census.directory(record.origin, record.state));
        census
    }
}

impl Pages for Desk {
    fn live(&self) -> Report {
        self.health.live(self.clock.now())
    }

    fn ready(&self) -> Report {
        self.health.ready()
    }

    fn election(&self) -> Report {
        self.health.election(&self.fence)
    }

    fn metrics(&self) -> String {
        self.metrics.render(&self.census())
    }
}

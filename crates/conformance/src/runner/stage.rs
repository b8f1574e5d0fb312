//! What a case is played on: a [`World`], or a stand-in where the runner itself is tested.

use std::sync::Arc;

use camino::Utf8Path;

use crate::case::Case;
use crate::dump;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::cleanup::{Patience, Settled};

/// The parts of a case's life, in their order. None of them ends the others: what goes wrong in one
/// is told, and the next is tried.
pub(super) trait Stage: Send + Sync + 'static {
    /// Makes the surroundings and does what the case is about.
    fn act(&self) -> impl Future<Output = CaseResult> + Send;

    /// Adds to a failure what the surroundings tell beyond the case's own evidence.
    fn explain(&self, trouble: Trouble) -> impl Future<Output = Trouble> + Send;

    /// Writes down the surroundings.
    fn capture(&self, directory: &Utf8Path) -> impl Future<Output = std::io::Result<()>> + Send;

    /// Puts back what is global, whatever else is kept; returns what went wrong.
    fn give_back(&self) -> impl Future<Output = Vec<String>> + Send;

    /// Deletes the claims, waits for what follows, and finds what stays; removes nothing of that.
    fn settle(&self, patience: &Patience) -> impl Future<Output = Settled> + Send;

    /// Removes all that is left, found or expected; returns what went wrong.
    fn remove(&self, settled: &Settled) -> impl Future<Output = Vec<String>> + Send;
}

/// A case on its world.
pub(super) struct OnWorld {
    pub(super) world: Arc<World>,
    pub(super) case: &'static Case,
}

impl Stage for OnWorld {
    async fn act(&self) -> CaseResult {
        self.world.prepare().await?;
        (self.case.body)(&self.world).await
    }

    async fn explain(&self, trouble: Trouble) -> Trouble {
        self.world.with_first_warning(trouble).await
    }

    async fn capture(&self, directory: &Utf8Path) -> std::io::Result<()> {
        dump::capture(&self.world, directory).await.map(drop)
    }

    async fn give_back(&self) -> Vec<String> {
        self.world.give_back().await
    }

    async fn settle(&self, patience: &Patience) -> Settled {
        self.world.settle(patience).await
    }

    async fn remove(&self, settled: &Settled) -> Vec<String> {
        self.world.remove(settled).await
    }
}

//! Runs cases: order, parallelism, locks, panics, capture and clean-up. It decides nothing about a
//! subject; it turns what happens into one stream of events.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::case::Case;
use crate::catalogue::Row;
use crate::limits::Limit;
use crate::lock;
use crate::outcome::Outcome;
use crate::report::model::CaseRecord;
use crate::selection::Planned;
use crate::trouble::Trouble;
use crate::world::cleanup::Leak;
use crate::world::{Ground, World};

mod judge;
mod ledger;
mod records;
mod schedule;
mod stage;

pub use schedule::Finished;

/// When the objects of a case are left for a person to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Never.
    #[default]
    Never,
    /// When the case did not pass.
    Failure,
    /// Always.
    Always,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How many cases at once.
    pub parallel: usize,
    /// Where captures of cases that did not pass are written.
    pub captures: Utf8PathBuf,
    /// What is left.
    pub keep: Keep,
    /// The command that runs one case again, without its id.
    pub rerun: String,
    /// Cancelled when the run is interrupted.
    pub interrupted: CancellationToken,
    /// Says why, once the testbed broke: no verdict counts from then on.
    pub broken: watch::Receiver<Option<String>>,
}

/// What happens in a run, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// A case begins.
    Started(&'static Row),
    /// A row is done: judged or skipped. What is found at the end of the run, under the name of a
    /// case that was done long before, changes its record only.
    Finished(Box<CaseRecord>),
}

/// What one case came to.
#[derive(Debug)]
pub struct Done {
    /// Its record.
    pub record: CaseRecord,
    /// What it left behind.
    pub leaks: Vec<Leak>,
    /// Phases it measured.
    pub samples: Vec<(&'static str, Duration)>,
    /// The namespace that was its own: whatever bears this name later is its doing.
    pub namespace: Option<String>,
}

impl Done {
    /// A case that was not begun.
    fn not_begun(case: &Case, why: String, options: &RunOptions) -> Self {
        let result = Err(Trouble::inconclusive(why));
        let record = records::of(case.row(), &result, Duration::ZERO, options);
        Self {
            record,
            leaks: Vec::new(),
            samples: Vec::new(),
            namespace: None,
        }
    }
}

/// Runs every planned case: first those that may run beside others, then each exclusive one alone.
pub async fn run(
    ground: &Ground,
    planned: Vec<Planned>,
    options: &RunOptions,
    events: &mpsc::UnboundedSender<Event>,
) -> Finished {
    let before = ledger::Standing::of(ground).await;
    let judge = |case| run_case(ground, case, options);
    let mut finished = Box::pin(schedule::run(planned, options, events, judge)).await;
    let undisturbed = !options.interrupted.is_cancelled() && options.broken.borrow().is_none();
    if options.keep == Keep::Never && undisturbed {
        match (before, ledger::Standing::of(ground).await) {
            (Ok(before), Ok(after)) => finished.charge_what_came(&before, &after, options),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!("what the run left behind cannot be told: {error}");
            }
        }
    }
    finished
}

/// Runs one case, from its lock to its clean-up. An interrupted case is cleaned up as well.
pub async fn run_case(ground: &Ground, case: &'static Case, options: &RunOptions) -> Done {
    if options.interrupted.is_cancelled() {
        return Done::not_begun(case, "interrupted".to_owned(), options);
    }
    let world = Arc::new(World::new(ground.clone(), case.id, case.namespace));
    // Held through the clean-up: that touches what is global as well.
    let lock = tokio::select! {
        biased;
        () = options.interrupted.cancelled() => Err("interrupted".to_owned()),
        lock = lock::take(&world.testbed().case_lock, case.serial) => lock
            .map_err(|error| format!("the lock on global state cannot be taken: {error}")),
    };
    let _lock = match lock {
        Ok(lock) => lock,
        Err(why) => return Done::not_begun(case, why, options),
    };
    let limit = world.limit(Limit::WholeCase);
    let stage = Arc::new(stage::OnWorld {
        world: Arc::clone(&world),
        case,
    });
    let (mut record, leaks) = judge::judge(&stage, case.row(), limit, options).await;
    record.timeline = world.take_timeline();
    let namespace = world.own_namespace.then(|| world.namespace.clone());
    Done {
        record,
        leaks,
        samples: world.take_samples(),
        namespace,
    }
}

fn emit(events: &mpsc::UnboundedSender<Event>, event: Event) {
    // A reporter that has gone away does not stop the run.
    let _ = events.send(event);
}

/// Whether a record still says that the rule holds.
fn passed(record: &CaseRecord) -> bool {
    record.outcome == Outcome::Passed
}

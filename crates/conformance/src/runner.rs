//! Runs cases: order, parallelism, locks, panics, capture and clean-up. It decides nothing about a
//! subject; it turns what happens into one stream of events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::case::{Case, Serial};
use crate::catalogue::{Row, group_of};
use crate::limits::Limit;
use crate::outcome::{Outcome, SkipReason};
use crate::report::model::{CaseRecord, Failure};
use crate::selection::Planned;
use crate::trouble::{CaseResult, Trouble};
use crate::world::cleanup::{CLEAN_UP_LIMIT, Leak};
use crate::world::{Ground, World};
use crate::{dump, lock};

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
    /// A row is done: judged or skipped.
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
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Finished {
    /// A record for every planned row, in the catalogue's order.
    pub records: Vec<CaseRecord>,
    /// What was left behind.
    pub leaks: Vec<Leak>,
    /// Phases measured, in milliseconds.
    pub samples: BTreeMap<String, Vec<u64>>,
}

/// Runs every planned case: first those that may run beside others, then each exclusive one alone.
pub async fn run(
    ground: &Ground,
    planned: Vec<Planned>,
    options: &RunOptions,
    events: &mpsc::UnboundedSender<Event>,
) -> Finished {
    let order: Vec<&'static str> = planned.iter().map(|planned| planned.row.id).collect();
    let mut finished = Finished::default();
    let mut beside = Vec::new();
    let mut alone = Vec::new();
    for Planned { row, decision } in planned {
        match decision {
            Ok(case) if case.serial == Serial::Exclusive => alone.push(case),
            Ok(case) => beside.push(case),
            Err(reason) => {
                let record = skipped(row, &reason);
                emit(events, Event::Finished(Box::new(record.clone())));
                finished.records.push(record);
            }
        }
    }
    let before = ground.export.list("").await.ok();
    let slots = Semaphore::new(options.parallel.max(1));
    let groups = group_locks(&beside);
    let mut running: FuturesUnordered<_> = beside
        .into_iter()
        .map(|case| {
            let (slots, groups) = (&slots, &groups);
            async move {
                // A group is a lane of its own beside the slots: its cases take turns from the
                // start, and are not what the run waits for at the end.
                let (_turn, _slot);
                match case.serial {
                    Serial::Group(name) => _turn = groups[name].lock().await,
                    Serial::No | Serial::Exclusive => _slot = slots.acquire().await,
                }
                one(ground, case, options, events).await
            }
        })
        .collect();
    while let Some(done) = running.next().await {
        finished.take(done);
    }
    for case in alone {
        finished.take(one(ground, case, options, events).await);
    }
    if options.keep == Keep::Never
        && let (Some(before), Ok(after)) = (before, ground.export.list("").await)
    {
        finished.charge_to_nobody(&before, &after);
    }
    finished.records.sort_by_key(|record| order.iter().position(|id| *id == record.id));
    finished
}

fn group_locks(cases: &[&'static Case]) -> BTreeMap<&'static str, tokio::sync::Mutex<()>> {
    cases
        .iter()
        .filter_map(|case| match case.serial {
            Serial::Group(name) => Some((name, tokio::sync::Mutex::new(()))),
            _ => None,
        })
        .collect()
}

async fn one(
    ground: &Ground,
    case: &'static Case,
    options: &RunOptions,
    events: &mpsc::UnboundedSender<Event>,
) -> Done {
    if !options.interrupted.is_cancelled() {
        emit(events, Event::Started(case.row()));
    }
    let done = run_case(ground, case, options).await;
    emit(events, Event::Finished(Box::new(done.record.clone())));
    done
}

/// How long the clean-up of an interrupted case may take: somebody is waiting.
const INTERRUPTED_LIMIT: Duration = Duration::from_secs(15);

/// Runs one case, from its lock to its clean-up. An interrupted case is cleaned up as well.
pub async fn run_case(ground: &Ground, case: &'static Case, options: &RunOptions) -> Done {
    if options.interrupted.is_cancelled() {
        let result = Err(Trouble::inconclusive("interrupted"));
        let record = record_of(case.row(), &result, Duration::ZERO, options);
        return Done { record, leaks: Vec::new(), samples: Vec::new() };
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
        Err(why) => {
            let result = Err(Trouble::inconclusive(why));
            let record = record_of(case.row(), &result, Duration::ZERO, options);
            return Done { record, leaks: Vec::new(), samples: Vec::new() };
        }
    };
    let started = Instant::now();
    let result = tokio::select! {
        biased;
        () = options.interrupted.cancelled() => Err(Trouble::inconclusive("interrupted")),
        result = judge(&world, case, options) => result,
    };
    let duration = started.elapsed();
    // Before anything is cleaned up.
    if result.is_err()
        && !options.interrupted.is_cancelled()
        && let Err(error) = dump::capture(&world, &options.captures).await
    {
        tracing::warn!(case = case.id, "the capture cannot be written: {error}");
    }
    let mut record = record_of(case.row(), &result, duration, options);
    let keep = match options.keep {
        Keep::Never => false,
        Keep::Failure => result.is_err(),
        Keep::Always => true,
    };
    let mut leaks = Vec::new();
    if !keep && options.broken.borrow().is_none() {
        let interrupted = options.interrupted.is_cancelled();
        let limit = if interrupted { INTERRUPTED_LIMIT } else { CLEAN_UP_LIMIT };
        let cleaned = tokio::time::timeout(limit, world.clean_up()).await;
        match cleaned {
            Ok(Ok(left)) => leaks = left,
            Ok(Err(trouble)) => spoil(&mut record, &trouble.to_string()),
            Err(_) => spoil(&mut record, "the clean-up did not end"),
        }
        if !leaks.is_empty() && record.outcome == Outcome::Passed {
            charge(&mut record, &leaks, options);
        }
    }
    record.timeline = world.take_timeline();
    Done { record, leaks, samples: world.take_samples() }
}

/// The body of a case, bounded in time, with panics caught and a broken testbed noticed.
async fn judge(world: &Arc<World>, case: &'static Case, options: &RunOptions) -> CaseResult {
    let limit = world.limit(Limit::WholeCase);
    let for_body = Arc::clone(world);
    let body = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        for_body.prepare().await?;
        (case.body)(&for_body).await
    }));
    let mut broken = options.broken.clone();
    let ended = tokio::select! {
        why = async { broken.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()) },
            if broken.has_changed().is_ok() => {
            let why = why.unwrap_or_default();
            return Err(Trouble::inconclusive(format!("the testbed broke: {why}")));
        }
        ended = tokio::time::timeout(limit, body) => ended,
    };
    let result = match ended {
        Ok(Ok(result)) => result,
        Ok(Err(join)) => Err(Trouble::inconclusive(format!("the case panicked: {join}"))),
        Err(_) => Err(Trouble::inconclusive(format!(
            "the case did not end within {} s (limit {})",
            limit.as_secs(),
            Limit::WholeCase.name()
        ))),
    };
    // A failure on a testbed that has broken meanwhile is no verdict.
    match (&result, options.broken.borrow().as_deref()) {
        (Err(Trouble::Failed(_)), Some(why)) => {
            Err(Trouble::inconclusive(format!("the testbed broke: {why}")))
        }
        _ => result,
    }
}

fn record_of(
    row: &'static Row,
    result: &CaseResult,
    duration: Duration,
    options: &RunOptions,
) -> CaseRecord {
    let mut record = blank(row);
    record.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(()) => record.outcome = Outcome::Passed,
        Err(Trouble::Inconclusive(cause)) => {
            record.outcome = Outcome::Inconclusive;
            record.reason = Some(cause.clone());
        }
        Err(Trouble::Failed(finding)) => {
            record.outcome = Outcome::Failed;
            record.failure = Some(Failure {
                expected: finding.expected.clone(),
                observed: finding.observed.clone(),
                evidence: finding.evidence.clone(),
                rerun: rerun(options, row),
            });
        }
    }
    record
}

fn rerun(options: &RunOptions, row: &Row) -> String {
    format!("{} --only {} --keep always", options.rerun, row.id)
}

/// A pass that left something behind is a failure.
fn charge(record: &mut CaseRecord, leaks: &[Leak], options: &RunOptions) {
    let listed: Vec<String> =
        leaks.iter().map(|leak| format!("{} {}", leak.kind, leak.name)).collect();
    record.outcome = Outcome::Failed;
    record.failure = Some(Failure {
        expected: "nothing of the case is left after its claims are deleted".to_owned(),
        observed: format!("left over: {}", listed.join(", ")),
        evidence: Vec::new(),
        rerun: format!("{} --only {} --keep always", options.rerun, record.id),
    });
}

/// A clean-up that fails takes a pass back: what follows may be disturbed.
fn spoil(record: &mut CaseRecord, cause: &str) {
    if record.outcome == Outcome::Passed {
        record.outcome = Outcome::Inconclusive;
        record.reason = Some(format!("clean-up: {cause}"));
    }
}

fn skipped(row: &'static Row, reason: &SkipReason) -> CaseRecord {
    CaseRecord { reason: Some(reason.to_string()), ..blank(row) }
}

fn blank(row: &'static Row) -> CaseRecord {
    CaseRecord {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
        title: row.title.to_owned(),
        group: group_of(row).title.to_owned(),
        level: row.level.to_string(),
        profile: row.profile.to_string(),
        mode: row.mode.to_string(),
        source: row.source.to_owned(),
        outcome: Outcome::Skipped,
        reason: None,
        duration_ms: 0,
        failure: None,
        timeline: Vec::new(),
    }
}

fn emit(events: &mpsc::UnboundedSender<Event>, event: Event) {
    // A reporter that has gone away does not stop the run.
    let _ = events.send(event);
}

impl Finished {
    fn take(&mut self, done: Done) {
        for (phase, took) in done.samples {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.samples.entry(phase.to_owned()).or_default().push(took);
        }
        self.leaks.extend(done.leaks);
        self.records.push(done.record);
    }

    /// Entries of the export's root that no case named and none was charged with.
    fn charge_to_nobody(&mut self, before: &[String], after: &[String]) {
        for name in after {
            let known = before.contains(name)
                || name.starts_with('.')
                || self.leaks.iter().any(|leak| leak.name == *name);
            if !known {
                let kind = "directory".to_owned();
                self.leaks.push(Leak { kind, name: name.clone(), case: String::new() });
            }
        }
    }
}

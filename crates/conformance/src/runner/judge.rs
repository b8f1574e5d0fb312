//! One case, from its beginning to its clean-up: bounded in time, with panics caught, a broken
//! testbed noticed and an interruption obeyed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use super::stage::Stage;
use super::{Keep, RunOptions, passed, records};
use crate::catalogue::Row;
use crate::limits::Limit;
use crate::report::model::CaseRecord;
use crate::trouble::{CaseResult, Trouble};
use crate::world::cleanup::{Leak, Patience, Settled};

/// How long the explanation and the capture of a failure may take each: neither changes a verdict.
const CAPTURE_LIMIT: Duration = Duration::from_secs(20);

/// Judges one case within `limit`, and takes away what it made.
pub(super) async fn judge<S: Stage>(
    stage: &Arc<S>,
    row: &'static Row,
    limit: Duration,
    options: &RunOptions,
) -> (CaseRecord, Vec<Leak>) {
    let started = Instant::now();
    let mut result = verdict(stage, limit, options).await;
    let duration = started.elapsed();
    if let Err(trouble) = &result
        && undisturbed(options)
    {
        // Before anything is cleaned up.
        let explained = bounded(options, stage.explain(trouble.clone())).await;
        capture(stage.as_ref(), row, options).await;
        if let Some(explained) = explained {
            result = Err(explained);
        }
    }
    let mut record = records::of(row, &result, duration, options);
    let keep = match options.keep {
        Keep::Never => false,
        Keep::Failure => result.is_err(),
        Keep::Always => true,
    };
    let work = async {
        if keep {
            records::spoil(&mut record, &stage.give_back().await);
            return Vec::new();
        }
        clean_up(stage.as_ref(), &mut record, options).await
    };
    // Nothing of a testbed that broke can be cleaned up, and nothing of it is a verdict.
    let leaks = tokio::select! {
        biased;
        () = breaks(options) => None,
        leaks = work => Some(leaks),
    };
    match (leaks, why_broken(options)) {
        (Some(leaks), None) => (record, leaks),
        (_, why) => {
            if passed(&record) {
                let why = broke(&why.unwrap_or_default());
                record = records::of(row, &Err(why), duration, options);
            }
            (record, Vec::new())
        }
    }
}

/// What the case comes to.
async fn verdict<S: Stage>(stage: &Arc<S>, limit: Duration, options: &RunOptions) -> CaseResult {
    let on_stage = Arc::clone(stage);
    let mut body = AbortOnDropHandle::new(tokio::spawn(async move { on_stage.act().await }));
    let ended = tokio::select! {
        biased;
        () = options.interrupted.cancelled() => Err(Trouble::inconclusive("interrupted")),
        () = breaks(options) => Ok(Err(Trouble::inconclusive("it was not ended"))),
        ended = tokio::time::timeout(limit, &mut body) => match ended {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(join)) => Err(Trouble::inconclusive(format!("the case panicked: {join}"))),
            Err(_) => Err(Trouble::inconclusive(format!(
                "the case did not end within {} s (limit {})",
                limit.as_secs(),
                Limit::WholeCase.name()
            ))),
        },
    };
    // What is still under way must not make anything while it is cleaned up.
    if !body.is_finished() {
        body.abort();
        let _ = body.await;
    }
    // On a testbed that has broken meanwhile neither a failure nor a pass is a verdict.
    match (ended, why_broken(options)) {
        (Ok(_), Some(why)) => Err(broke(&why)),
        (Ok(result), None) => result,
        (Err(trouble), _) => Err(trouble),
    }
}

/// Takes away what the case made, charges it with what it left, and takes back a pass when it
/// cannot be told.
async fn clean_up<S: Stage>(stage: &S, record: &mut CaseRecord, options: &RunOptions) -> Vec<Leak> {
    let patience = Patience::new(options.interrupted.clone());
    let settled = stage.settle(&patience).await;
    let Settled {
        leaks,
        evidence,
        troubles,
    } = &settled;
    if passed(record) && !leaks.is_empty() {
        records::charge(record, leaks, evidence, options);
        let row = crate::catalogue::row(&record.id).expect("a record is made from a row");
        capture(stage, row, options).await;
    }
    records::spoil(record, troubles);
    records::spoil(record, &stage.remove(&settled).await);
    settled.leaks
}

async fn capture<S: Stage>(stage: &S, row: &Row, options: &RunOptions) {
    if let Some(Err(error)) = bounded(options, stage.capture(&options.captures)).await {
        tracing::warn!(case = row.id, "the capture cannot be written: {error}");
    }
}

/// The result of `work`, unless it takes too long or the run is disturbed.
async fn bounded<T>(options: &RunOptions, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = options.interrupted.cancelled() => None,
        () = breaks(options) => None,
        done = tokio::time::timeout(CAPTURE_LIMIT, work) => done.ok(),
    }
}

fn undisturbed(options: &RunOptions) -> bool {
    !options.interrupted.is_cancelled() && why_broken(options).is_none()
}

fn why_broken(options: &RunOptions) -> Option<String> {
    options.broken.borrow().clone()
}

fn broke(why: &str) -> Trouble {
    Trouble::inconclusive(format!("the testbed broke: {why}"))
}

/// Ends when the testbed breaks; never, when nobody watches it any more.
async fn breaks(options: &RunOptions) {
    let mut broken = options.broken.clone();
    if broken.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;

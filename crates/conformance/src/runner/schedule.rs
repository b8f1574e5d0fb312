//! What runs when: cases beside each other, groups in turns, exclusive cases alone at the end.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::{Done, Event, RunOptions, emit, records};
use crate::case::{Case, Serial};
use crate::report::model::CaseRecord;
use crate::selection::Planned;
use crate::world::cleanup::Leak;

/// What a run came to.
#[derive(Debug, Default)]
pub struct Finished {
    /// A record for every planned row, in the catalogue's order.
    pub records: Vec<CaseRecord>,
    /// What was left behind.
    pub leaks: Vec<Leak>,
    /// Phases measured, in milliseconds.
    pub samples: BTreeMap<String, Vec<u64>>,
    /// The namespaces that cases had of their own, by case id.
    pub(super) namespaces: Vec<(String, String)>,
}

/// Has `judge` judge every planned case, in an order that its [`Serial`] allows.
pub(super) async fn run<F: Future<Output = Done>>(
    planned: Vec<Planned>,
    options: &RunOptions,
    events: &mpsc::UnboundedSender<Event>,
    judge: impl Fn(&'static Case) -> F,
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
                let record = records::skipped(row, &reason);
                emit(events, Event::Finished(Box::new(record.clone())));
                finished.records.push(record);
            }
        }
    }
    let one = |case: &'static Case| {
        let judged = judge(case);
        async move {
            if !options.interrupted.is_cancelled() {
                emit(events, Event::Started(case.row()));
            }
            let done = judged.await;
            emit(events, Event::Finished(Box::new(done.record.clone())));
            done
        }
    };
    let slots = Semaphore::new(options.parallel.max(1));
    let groups = group_locks(&beside);
    let mut running: FuturesUnordered<_> = beside
        .into_iter()
        .map(|case| {
            let (slots, groups, one) = (&slots, &groups, &one);
            async move {
                // A group is a lane of its own beside the slots: its cases take turns from the
                // start, and are not what the run waits for at the end.
                let (_turn, _slot);
                match case.serial {
                    Serial::Group(name) => _turn = groups[name].lock().await,
                    Serial::No | Serial::Exclusive => _slot = slots.acquire().await,
                }
                one(case).await
            }
        })
        .collect();
    while let Some(done) = running.next().await {
        finished.take(done);
    }
    for case in alone {
        finished.take(one(case).await);
    }
    finished
        .records
        .sort_by_key(|record| order.iter().position(|id| *id == record.id));
    finished
}

fn group_locks(cases: &[&'static Case]) -> BTreeMap<&'static str, Mutex<()>> {
    cases
        .iter()
        .filter_map(|case| match case.serial {
            Serial::Group(name) => Some((name, Mutex::new(()))),
            _ => None,
        })
        .collect()
}

impl Finished {
    fn take(&mut self, done: Done) {
        for (phase, took) in done.samples {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.samples.entry(phase.to_owned()).or_default().push(took);
        }
        self.leaks.extend(done.leaks);
        self.namespaces
            .extend(done.namespace.map(|own| (own, done.record.id.clone())));
        self.records.push(done.record);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Shared;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::cases;
    use crate::outcome::{Outcome, SkipReason};
    use crate::runner::records::tests::{options, passed};

    fn plan(ids: &[&str]) -> Vec<Planned> {
        let plan = ids.iter().map(|id| {
            let row = crate::catalogue::row(id).unwrap();
            let decision = cases::case(id).ok_or(SkipReason::NotImplemented);
            Planned { row, decision }
        });
        plan.collect()
    }

    /// What began and ended, in order: `+B01`, `-B01`.
    async fn story(ids: &[&str], parallel: usize) -> (Vec<String>, Finished) {
        let told = Shared::new(Vec::new());
        let tell =
            |mark: char, case: &Case| told.lock().unwrap().push(format!("{mark}{}", case.id));
        let judge = |case: &'static Case| async move {
            tell('+', case);
            // Paused time: every case that is under way lasts beyond the start of the next ones.
            tokio::time::sleep(Duration::from_secs(1)).await;
            tell('-', case);
            passed(case)
        };
        let (events, _heard) = mpsc::unbounded_channel();
        let options = crate::runner::RunOptions {
            parallel,
            ..options()
        };
        let finished = run(plan(ids), &options, &events, &judge).await;
        (told.into_inner().unwrap(), finished)
    }

    /// Whether `id` began and ended with nothing else in between.
    fn alone(story: &[String], id: &str) -> bool {
        story
            .windows(2)
            .any(|two| two[0] == format!("+{id}") && two[1] == format!("-{id}"))
    }

    #[tokio::test(start_paused = true)]
    async fn exclusive_cases_run_alone_after_all_others() {
        let (story, _) = story(&["B01", "D01", "D02", "B02", "G02"], 8).await;
        assert_eq!(story.last().unwrap(), "-D02");
        assert!(alone(&story, "D01") && alone(&story, "D02"), "{story:?}");
        assert!(!alone(&story, "B01"), "{story:?}");
        let begun = |id: &str| story.iter().position(|step| step == id).unwrap();
        for other in ["-B01", "-B02", "-G02"] {
            assert!(begun(other) < begun("+D01"), "{story:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn members_of_a_group_take_turns_beside_the_slots() {
        let (story, _) = story(&["B01", "B02", "G02", "G04"], 1).await;
        let at = |step: &str| story.iter().position(|told| told == step).unwrap();
        assert!(at("-G02") < at("+G04"), "{story:?}");
        assert!(at("-B01") < at("+B02"), "{story:?}");
        // One slot, and a group that does not wait for it.
        assert!(at("+G02") < at("-B01"), "{story:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_cases_run_at_once_than_asked_for() {
        let (story, _) = story(&["B01", "B02", "B03", "B04", "B05"], 2).await;
        let mut running = 0;
        for step in &story {
            running += if step.starts_with('+') { 1 } else { -1 };
            assert!(running <= 2, "{story:?}");
        }
        assert_eq!(story.len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn every_planned_row_has_one_record_in_the_order_of_the_plan() {
        let ids = ["B01", "B12", "D01", "F01", "G02"];
        let (_, finished) = story(&ids, 8).await;
        let recorded: Vec<_> = finished
            .records
            .iter()
            .map(|record| record.id.as_str())
            .collect();
        assert_eq!(recorded, ids);
        let skipped = finished
            .records
            .iter()
            .filter(|r| r.outcome == Outcome::Skipped);
        assert_eq!(
            skipped.map(|r| r.id.as_str()).collect::<Vec<_>>(),
            ["B12", "F01"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_interruption_leaves_a_record_of_every_row_and_begins_nothing_more() {
        let interrupted = CancellationToken::new();
        let options = crate::runner::RunOptions {
            parallel: 1,
            interrupted: interrupted.clone(),
            ..options()
        };
        let judge = |case: &'static Case| {
            let (options, interrupted) = (options.clone(), interrupted.clone());
            async move {
                if interrupted.is_cancelled() {
                    return Done::not_begun(case, "interrupted".to_owned(), &options);
                }
                interrupted.cancel();
                passed(case)
            }
        };
        let (events, mut heard) = mpsc::unbounded_channel();
        let finished = run(plan(&["B01", "B02", "D01"]), &options, &events, judge).await;
        let outcomes: Vec<_> = finished
            .records
            .iter()
            .map(|record| record.outcome)
            .collect();
        assert_eq!(
            outcomes,
            [
                Outcome::Passed,
                Outcome::Inconclusive,
                Outcome::Inconclusive
            ]
        );
        drop(events);
        let mut started = Vec::new();
        while let Some(event) = heard.recv().await {
            if let Event::Started(row) = event {
                started.push(row.id);
            }
        }
        assert_eq!(started, ["B01"]);
    }
}

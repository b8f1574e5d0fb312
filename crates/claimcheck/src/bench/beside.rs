//! What bursts do not show: a subject that has nearly nothing to do, and one that is started again
//! while its volumes exist.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use camino::Utf8Path;
use futures::future::try_join;
use testbed::nfs::EmbeddedExport;
use testbed::subject::RunningSubject;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::audit::{AuditLog, Tally};
use super::burst::{Burst, gone, settled, subject_stuck, unless_ended};
use super::objects::Names;
use super::order::BenchSubject;
use super::timeline::{Counts, Marks};
use super::watching::until;
use crate::failure::Failure;

/// Claims that are made one after another: enough for a 95th percentile that is not the slowest.
const SINGLE_CLAIMS: usize = 40;
/// How long a subject is left alone to count what it writes by itself: five renewals of a leader
/// lock at the usual period of 2 s.
const REST: Duration = Duration::from_secs(10);

/// A subject that has nearly nothing to do.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    /// The steps of claims that were made one after another, each when the one before was Bound.
    pub(super) marks: Vec<Marks>,
    /// Its calls while nothing happened.
    pub(super) rest: Tally,
    /// How long nothing happened.
    pub(super) rested: Duration,
}

impl Burst<'_> {
    /// Makes claims one after another, deletes them, and leaves the subject alone for a while.
    ///
    /// # Errors
    /// The subject gets stuck, or the control plane refuses something.
    pub(super) async fn idle(
        &self,
        subject: &BenchSubject,
        running: &RunningSubject,
        audit: &mut AuditLog,
    ) -> Result<Idle, Failure> {
        let names = Names::beside(self.number, "idle");
        let singles = Burst {
            claims: SINGLE_CLAIMS,
            ..*self
        };
        let watching = singles.watch(&names).await?;
        let wait = async |what: &'static str, reached: &(dyn Fn(Counts) -> bool + Sync)| {
            until(watching.counts(), subject.stall, reached)
                .await
                .map_err(|stalled| subject_stuck(subject, running, what, SINGLE_CLAIMS, &stalled))
        };
        for index in 0..SINGLE_CLAIMS {
            singles.make_claim(&names, index).await?;
            wait("single claims Bound", &|counts| counts.bound > index).await?;
        }
        try_join(
            singles.delete_claims(&names),
            wait("volumes of single claims gone", &|counts| {
                gone(counts, SINGLE_CLAIMS)
            }),
        )
        .await?;
        settled(audit, &mut Tally::default(), &subject.user).await?;
        let begun = Instant::now();
        sleep(REST).await;
        let mut rest = Tally::default();
        block_in_place(|| audit.read_into(&mut rest, &subject.user)).map_err(Failure::testbed)?;
        Ok(Idle {
            marks: watching.marks(),
            rest,
            rested: begun.elapsed(),
        })
    }

    /// Ends the subject in order, makes a claim, starts the subject again and waits until the claim
    /// is Bound. The subject that runs now, and how long that took from its start.
    ///
    /// # Errors
    /// The subject does not start, or gets stuck; the control plane refuses something.
    pub(super) async fn restarted(
        &self,
        subject: &BenchSubject,
        running: RunningSubject,
        export: &EmbeddedExport,
        logs: &Utf8Path,
    ) -> Result<(RunningSubject, Duration), Failure> {
        let names = Names::beside(self.number, "restart");
        let one = Burst { claims: 1, ..*self };
        let watching = one.watch(&names).await?;
        self.ground.stop(running).await?;
        one.make_claims(&names).await?;
        let begun = watching.now();
        // Its lock stays as it left it: whoever does not release it waits for it.
        let running = self.ground.start(subject, export, logs).await?;
        let wait = async |what: &'static str, reached: fn(Counts) -> bool| {
            until(watching.counts(), subject.stall, reached)
                .await
                .map_err(|stalled| subject_stuck(subject, &running, what, 1, &stalled))
        };
        let serving = async {
            wait("claims Bound that were made while it was down", |counts| {
                counts.bound == 1
            })
            .await?;
            try_join(
                one.delete_claims(&names),
                wait("volumes gone", |counts| gone(counts, 1)),
            )
            .await
        };
        unless_ended(subject, &running, serving).await?;
        let bound = watching.marks().first().and_then(|marks| marks.bound);
        let Some(bound) = bound else {
            return Err(Failure::defect(anyhow!("a claim is Bound without a time")));
        };
        Ok((running, bound.saturating_sub(begun)))
    }
}

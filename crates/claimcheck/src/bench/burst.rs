//! One burst: claims made at once and bound, deleted at once and their volumes gone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use camino::Utf8Path;
use futures::future::try_join;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, PostParams};
use testbed::subject::RunningSubject;
use tokio::task::block_in_place;
use tokio::time::interval;

use super::audit::{AuditLog, Tally};
use super::beside::Idle;
use super::ground::Ground;
use super::objects::{self, NAMESPACE, Names};
use super::order::{BenchSubject, Beside};
use super::timeline::{Counts, Marks};
use super::usage::{self, Usage};
use super::watching::{Stalled, Watching, until};
use crate::failure::Failure;

/// Calls of the bench at once: enough to be ahead of any provisioner, few enough to leave the API
/// server to it.
const CALLS: usize = 16;
/// How long nothing may happen where only the control plane works.
const CONTROL_PLANE_STALL: Duration = Duration::from_mins(1);
/// How long a subject must not have written anything before its calls are counted: events may come
/// after what they tell of.
const QUIET: Duration = Duration::from_secs(1);
/// How long is waited for that.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// How often the audit log is looked at: a file tells nobody that it grew.
const QUIET_POLL: Duration = Duration::from_millis(100);

/// What one burst showed.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The steps of every claim.
    pub(super) marks: Vec<Marks>,
    /// When the first claim was sent off, since the epoch of the marks.
    pub(super) provisioning: Duration,
    /// When the first deletion was sent off.
    pub(super) reclaiming: Duration,
    /// What the subject used; `None` for the ceiling.
    pub(super) spent: Option<Spent>,
}

/// What a subject used in one burst.
#[derive(Clone, Debug)]
pub(super) struct Spent {
    /// API calls from the first claim on.
    pub(super) provision: Tally,
    /// API calls from the first deletion on.
    pub(super) reclaim: Tally,
    /// Memory and processor time since its start.
    pub(super) usage: Usage,
    /// What it did with nearly nothing to do, where that was asked for.
    pub(super) idle: Option<Idle>,
    /// How long it took from a new start, with the volumes of the burst there, until a claim was
    /// Bound that waited; where that was asked for.
    pub(super) restart: Option<Duration>,
    /// What it left on the export, hidden names apart.
    pub(super) left_on_export: usize,
    /// Whether it was still writing when its calls were counted.
    pub(super) restless: bool,
}

/// A burst to do.
#[derive(Clone, Copy)]
pub(super) struct Burst<'a> {
    /// What it runs on.
    pub(super) ground: &'a Ground,
    /// Its number among all bursts of the bench.
    pub(super) number: usize,
    /// How many claims.
    pub(super) claims: usize,
    /// What is measured of a subject beside the burst.
    pub(super) beside: Beside,
}

impl Burst<'_> {
    /// The controller-manager alone, on volumes that are made beforehand.
    ///
    /// # Errors
    /// The control plane refuses something, or gets stuck.
    pub(super) async fn ceiling(&self) -> Result<Sample, Failure> {
        let names = Names::of(self.number);
        self.make_class(&names, None).await?;
        let mut watching = self.watch(&names).await?;
        self.make_volumes(&names).await?;
        let all = self.claims;
        self.wait(&watching, "volumes Available", |counts| {
            counts.available == all
        })
        .await?;

        let provisioning = watching.now();
        try_join(
            self.make_claims(&names),
            self.wait(&watching, "claims Bound", |counts| counts.bound == all),
        )
        .await?;

        let reclaiming = watching.now();
        let counts = watching.counts();
        let gone = async {
            until(counts, CONTROL_PLANE_STALL, |counts| gone(counts, all))
                .await
                .map_err(|stalled| stuck("volumes gone", all, &stalled))
        };
        let volumes: Api<PersistentVolume> = Api::all(self.ground.client());
        let released = &mut watching.released;
        // What an ideal provisioner would do that has nothing to remove.
        let deleting = stream::poll_fn(|context| released.poll_recv(context))
            .take(all)
            .map(Ok)
            .try_for_each_concurrent(CALLS, |index| {
                delete(&volumes, names.object(index), "volume")
            });
        try_join(try_join(self.delete_claims(&names), deleting), gone).await?;
        self.delete_class(&names).await?;
        Ok(Sample {
            marks: watching.marks(),
            provisioning,
            reclaiming,
            spent: None,
        })
    }

    /// A subject, started anew on an empty export.
    ///
    /// # Errors
    /// The subject ends by itself or gets stuck; the control plane refuses something.
    pub(super) async fn subject(
        &self,
        subject: &BenchSubject,
        audit: &mut AuditLog,
        logs: &Utf8Path,
    ) -> Result<Sample, Failure> {
        let names = Names::of(self.number);
        self.make_class(&names, Some(subject)).await?;
        let export = self.ground.serve(self.number).await?;
        self.ground.forget_lock(subject).await?;
        let mut running = self.ground.start(subject, &export, logs).await?;
        let mut idle = None;
        if self.beside.idle {
            let alone = self.idle(subject, &running, audit);
            idle = Some(unless_ended(subject, &running, alone).await?);
        }
        let watching = self.watch(&names).await?;
        let all = self.claims;
        let half = Half {
            subject,
            claims: all,
            watching: &watching,
        };

        let provisioning = watching.now();
        let making = half.counted(
            (&running, audit),
            self.make_claims(&names),
            ("claims Bound", |counts| counts.bound == all),
        );
        let (provision, quiet) = unless_ended(subject, &running, making).await?;
        let (mut usage, mut restart) = (Usage::default(), None);
        if self.beside.restart {
            usage = used(&running)?;
            let again = logs.join("restarted");
            let (later, took) = self.restarted(subject, running, &export, &again).await?;
            (running, restart) = (later, Some(took));
        }

        let reclaiming = watching.now();
        let deleting = half.counted(
            (&running, audit),
            self.delete_claims(&names),
            ("volumes gone", |counts| gone(counts, all)),
        );
        let (reclaim, quiet_again) = unless_ended(subject, &running, deleting).await?;
        let sample = Sample {
            marks: watching.marks(),
            provisioning,
            reclaiming,
            spent: Some(Spent {
                provision,
                reclaim,
                usage: usage.and_then(used(&running)?),
                idle,
                restart,
                left_on_export: left(export.directory())?,
                restless: !(quiet && quiet_again),
            }),
        };
        self.ground.stop(running).await?;
        self.ground.remove(export).await?;
        self.delete_class(&names).await?;
        Ok(sample)
    }

    /// Watches, and ends when both watches have begun.
    pub(super) async fn watch(&self, names: &Names) -> Result<Watching, Failure> {
        let watching = Watching::start(&self.ground.client(), names, self.claims);
        self.wait(&watching, "watches begun", |counts| counts.listed >= 2)
            .await?;
        Ok(watching)
    }

    async fn wait(
        &self,
        watching: &Watching,
        what: &str,
        reached: impl Fn(Counts) -> bool,
    ) -> Result<(), Failure> {
        until(watching.counts(), CONTROL_PLANE_STALL, reached)
            .await
            .map_err(|stalled| stuck(what, self.claims, &stalled))
    }

    async fn make_class(
        &self,
        names: &Names,
        subject: Option<&BenchSubject>,
    ) -> Result<(), Failure> {
        let class = objects::class(names, subject.map(|subject| &subject.file));
        let api: Api<StorageClass> = Api::all(self.ground.client());
        let made = api.create(&PostParams::default(), &class).await;
        made.map(drop)
            .with_context(|| format!("class {} was not made", names.class()))
            .map_err(Failure::testbed)
    }

    async fn delete_class(&self, names: &Names) -> Result<(), Failure> {
        let api: Api<StorageClass> = Api::all(self.ground.client());
        delete(&api, names.class(), "class").await
    }

    async fn make_volumes(&self, names: &Names) -> Result<(), Failure> {
        let api: Api<PersistentVolume> = Api::all(self.ground.client());
        self.for_each(|index| {
            let (api, volume) = (&api, objects::volume(names, index));
            async move {
                let made = api.create(&PostParams::default(), &volume).await;
                made.map(drop)
                    .with_context(|| format!("volume {} was not made", names.object(index)))
                    .map_err(Failure::testbed)
            }
        })
        .await
    }

    /// Makes all claims at once.
    pub(super) async fn make_claims(&self, names: &Names) -> Result<(), Failure> {
        self.for_each(|index| self.make_claim(names, index)).await
    }

    /// Makes one claim.
    pub(super) async fn make_claim(&self, names: &Names, index: usize) -> Result<(), Failure> {
        let (api, claim) = (self.claims_api(), objects::claim(names, index));
        let made = api.create(&PostParams::default(), &claim).await;
        made.map(drop)
            .with_context(|| format!("claim {NAMESPACE}/{} was not made", names.object(index)))
            .map_err(Failure::testbed)
    }

    /// Deletes all claims at once.
    pub(super) async fn delete_claims(&self, names: &Names) -> Result<(), Failure> {
        let api = self.claims_api();
        self.for_each(|index| delete(&api, names.object(index), "claim"))
            .await
    }

    fn claims_api(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.ground.client(), NAMESPACE)
    }

    /// Does something for each claim, some at once, and ends with the first failure.
    async fn for_each<F>(&self, work: impl Fn(usize) -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        stream::iter((0..self.claims).map(Ok))
            .try_for_each_concurrent(CALLS, work)
            .await
    }
}

/// What both halves of a subject's burst have.
struct Half<'a> {
    subject: &'a BenchSubject,
    claims: usize,
    watching: &'a Watching,
}

impl Half<'_> {
    /// Does something to all claims at once and waits until `reached`. The subject's calls meanwhile,
    /// and whether they ended.
    async fn counted(
        &self,
        (running, audit): (&RunningSubject, &mut AuditLog),
        doing: impl Future<Output = Result<(), Failure>>,
        (what, reached): (&str, impl Fn(Counts) -> bool),
    ) -> Result<(Tally, bool), Failure> {
        block_in_place(|| audit.skip()).map_err(Failure::testbed)?;
        let waiting = async {
            until(self.watching.counts(), self.subject.stall, reached)
                .await
                .map_err(|stalled| {
                    subject_stuck(self.subject, running, what, self.claims, &stalled)
                })
        };
        try_join(doing, waiting).await?;
        let mut tally = Tally::default();
        let quiet = settled(audit, &mut tally, &self.subject.user).await?;
        Ok((tally, quiet))
    }
}

/// Work with a subject, which fails when the subject ends by itself.
pub(super) async fn unless_ended<T>(
    subject: &BenchSubject,
    running: &RunningSubject,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        end = running.exited() => Err(Failure::subject(anyhow!(
            "subject `{}` ended by itself ({end}); its log is {}:\n{}",
            subject.name(),
            running.log(),
            running.tail()
        ))),
    }
}

/// What a subject has used since its start.
fn used(running: &RunningSubject) -> Result<Usage, Failure> {
    let group = running.record().map_or(0, |child| child.pid);
    let usage = usage::of_group(group).map_err(Failure::testbed)?;
    Ok(usage.unwrap_or_default())
}

/// Whether all claims are gone with their volumes.
pub(super) fn gone(counts: Counts, all: usize) -> bool {
    counts.claims_gone == all && counts.volumes_gone == all
}

async fn delete<K>(api: &Api<K>, name: String, kind: &str) -> Result<(), Failure>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let deleted = api.delete(&name, &DeleteParams::default()).await;
    deleted
        .map(drop)
        .with_context(|| format!("{kind} {name} was not deleted"))
        .map_err(Failure::testbed)
}

/// Counts the subject's calls until it has written nothing for a while; whether it came to that.
pub(super) async fn settled(
    audit: &mut AuditLog,
    tally: &mut Tally,
    user: &str,
) -> Result<bool, Failure> {
    let mut ticks = interval(QUIET_POLL);
    let begun = Instant::now();
    let mut last = begun;
    loop {
        ticks.tick().await;
        let before = tally.writes();
        block_in_place(|| audit.read_into(tally, user))
            .context("the audit log cannot be read")
            .map_err(Failure::testbed)?;
        if tally.writes() != before {
            last = Instant::now();
        }
        if last.elapsed() >= QUIET {
            return Ok(true);
        }
        if begun.elapsed() >= QUIET_LIMIT {
            return Ok(false);
        }
    }
}

/// Entries of the export that are not hidden: directories of volumes, archives.
fn left(export: &Utf8Path) -> Result<usize, Failure> {
    let entries = fs_err::read_dir(export).map_err(Failure::testbed)?;
    let mut count = 0;
    for entry in entries {
        let name = entry.map_err(Failure::testbed)?.file_name();
        count += usize::from(!name.to_string_lossy().starts_with('.'));
    }
    Ok(count)
}

fn so_far(what: &str, all: usize, stalled: &Stalled) -> String {
    let Stalled { limit, counts } = stalled;
    format!(
        "not all {what}, and nothing more happened within {} s; of {all} claims {} were made, {} \
         had a volume, {} were Bound, {} are gone, and {} volumes are gone",
        limit.as_secs(),
        counts.claims,
        counts.volumes,
        counts.bound,
        counts.claims_gone,
        counts.volumes_gone,
    )
}

fn stuck(what: &str, all: usize, stalled: &Stalled) -> Failure {
    Failure::testbed(anyhow!(
        "the control plane alone: {}",
        so_far(what, all, stalled)
    ))
}

/// The failure of a subject to whose claims nothing happens any more.
pub(super) fn subject_stuck(
    subject: &BenchSubject,
    running: &RunningSubject,
    what: &str,
    all: usize,
    stalled: &Stalled,
) -> Failure {
    Failure::subject(anyhow!(
        "subject `{}`: {}",
        subject.name(),
        so_far(what, all, stalled)
    ))
    .hint(format!(
        "its log is {}; `limits: {{ claim-bound: ... }}` of the subject file sets how long nothing \
         may happen",
        running.log()
    ))
}

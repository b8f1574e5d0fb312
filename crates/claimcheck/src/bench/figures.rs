//! From the steps of claims to figures, and from those of several rounds to medians. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::audit::Tally;
use super::beside::Idle;
use super::burst::{Sample, Spent};
use super::timeline::Marks;

/// Bound at this part of the ceiling or more, a subject leaves the controller-manager no time.
const NEAR_THE_CEILING: f64 = 0.9;
/// So many volumes that wait to be bound, on average, leave it no time either: it binds one after the
/// other.
const BACKLOG: f64 = 16.0;
/// Where there are few claims, this part of them is a backlog.
const BACKLOG_OF_CLAIMS: f64 = 0.25;

/// One burst of one contender.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Run {
    /// The subject's name, or `ceiling`.
    pub(crate) contender: String,
    /// The round, from 1.
    pub(crate) round: usize,
    /// What was measured.
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

/// Figures of one burst, or medians of several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Volumes made per second, from the first claim sent to the last volume seen; none for the
    /// ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pv_created_per_s: Option<f64>,
    /// Volumes that waited to be bound, on average from the first volume to the last claim Bound; none
    /// for the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volumes_waiting: Option<f64>,
    /// Claims Bound per second, from the first claim sent to the last one seen Bound.
    pub(crate) bound_per_s: f64,
    /// Volumes gone per second, from the first deletion sent to the last volume or claim seen to go.
    pub(crate) deleted_per_s: f64,
    /// What the subject used; none for the ceiling.
    #[serde(flatten)]
    pub(crate) used: Option<Used>,
    /// By phase, from watch to watch.
    pub(crate) latency: BTreeMap<&'static str, Latency>,
}

/// What a subject used in a burst.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Used {
    /// The most memory that was resident at once, in MiB; of several rounds the largest.
    pub(crate) peak_rss_mib: f64,
    /// Processor time, in seconds, from its start to the end of the burst.
    pub(crate) cpu_s: f64,
    /// Calls that change something, without those of leader locks, per claim.
    pub(crate) write_calls_per_claim: PerPhase<f64>,
    /// All calls but watches and leader locks, per claim, by verb and resource.
    pub(crate) calls_per_claim: PerPhase<Calls>,
    /// Calls that were refused; a read of what is not there is none.
    pub(crate) refused_calls: f64,
    /// Writes to leader locks, which go with time.
    pub(crate) lock_writes: f64,
    /// What it left on the export, hidden names apart; of several rounds the most.
    pub(crate) left_on_export: f64,
    /// Whether it was still writing when its calls were counted, so that some are missing.
    pub(crate) restless: bool,
    /// With nearly nothing to do; where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<AtRest>,
    /// From a new start, with the volumes of the burst there, until a claim that waited was Bound,
    /// in milliseconds; where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart_to_bound_ms: Option<f64>,
}

/// A subject with nearly nothing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AtRest {
    /// By phase, of claims made one after another.
    pub(crate) latency: BTreeMap<&'static str, Latency>,
    /// Writes per second while nothing happened, without those of leader locks.
    pub(crate) writes_per_s: f64,
    /// Writes to leader locks per second.
    pub(crate) lock_writes_per_s: f64,
}

/// Calls by verb and resource: `create persistentvolumes`.
pub(crate) type Calls = BTreeMap<String, f64>;

/// A figure of each half of a burst.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PerPhase<T> {
    /// From the first claim on.
    pub(crate) provision: T,
    /// From the first deletion on.
    pub(crate) reclaim: T,
}

/// How long a phase took, over all claims that went through it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Claims.
    pub(crate) count: usize,
    /// The median, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 95 of 100 are no slower.
    pub(crate) p95_ms: f64,
    /// 99 of 100 are no slower.
    pub(crate) p99_ms: f64,
    /// The slowest.
    pub(crate) max_ms: f64,
}

/// Ratios of a subject, each of two figures of the same round, and of those the median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Ratios {
    /// Bound per second, to that of the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound_of_ceiling: Option<f64>,
    /// Deleted per second, to that of the ceiling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deleted_of_ceiling: Option<f64>,
    /// Deleted per second, to its own Bound per second.
    pub(crate) deleted_of_bound: f64,
}

/// What kept claims from being Bound faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LimitedBy {
    /// Who.
    pub(crate) by: Limiter,
    /// How that is seen, in words.
    pub(crate) why: String,
}

/// Who limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Limiter {
    /// The controller-manager: a faster subject would show no better.
    ControllerManager,
    /// The subject.
    Subject,
}

/// The moment of one step of a claim.
type Step = fn(&Marks) -> Option<Duration>;

/// From a claim seen to its volume seen.
pub(crate) const CLAIM_TO_VOLUME: &str = "claim_to_volume";
/// From a claim seen to it seen Bound.
pub(crate) const CLAIM_TO_BOUND: &str = "claim_to_bound";
/// From a claim seen being deleted to its volume gone.
pub(crate) const DELETION_TO_GONE: &str = "deletion_to_gone";

/// The figures of one burst.
pub(super) fn measured(contender: &str, round: usize, sample: &Sample) -> Run {
    let Sample {
        marks,
        provisioning,
        reclaiming,
        spent,
    } = sample;
    let per_second = |since: Duration, step: Step| {
        let last = marks.iter().filter_map(step).max().unwrap_or(since);
        rate(marks.len(), last.saturating_sub(since))
    };
    let mut latency = latencies(marks);
    // The volumes of the ceiling were there before.
    if spent.is_none() {
        latency.remove(CLAIM_TO_VOLUME);
    }
    Run {
        contender: contender.to_owned(),
        round,
        figures: Figures {
            pv_created_per_s: spent
                .as_ref()
                .map(|_| per_second(*provisioning, |marks| marks.volume)),
            volumes_waiting: spent.as_ref().and_then(|_| waiting(marks)),
            bound_per_s: per_second(*provisioning, |marks| marks.bound),
            deleted_per_s: per_second(*reclaiming, |marks| marks.volume_gone.max(marks.claim_gone)),
            used: spent.as_ref().map(|spent| used(spent, marks.len())),
            latency,
        },
    }
}

/// How many volumes waited to be bound, on average while any claim was being served: by Little's
/// law all waits together, by the time.
fn waiting(marks: &[Marks]) -> Option<f64> {
    let begun = marks.iter().filter_map(|marks| marks.volume).min()?;
    let ended = marks.iter().filter_map(|marks| marks.bound).max()?;
    let waits: Duration = marks
        .iter()
        .filter_map(|marks| Some(marks.bound?.saturating_sub(marks.volume?)))
        .sum();
    let within = ended.saturating_sub(begun);
    Some(rounded(
        waits.as_secs_f64() / within.as_secs_f64().max(1e-6),
    ))
}

/// How long each phase took.
fn latencies(marks: &[Marks]) -> BTreeMap<&'static str, Latency> {
    let phases: [(&'static str, Step, Step); 3] = [
        (CLAIM_TO_VOLUME, |marks| marks.claim, |marks| marks.volume),
        (CLAIM_TO_BOUND, |marks| marks.claim, |marks| marks.bound),
        (
            DELETION_TO_GONE,
            |marks| marks.deleting,
            |marks| marks.volume_gone,
        ),
    ];
    phases
        .into_iter()
        .filter_map(|(name, from, to)| {
            let took = marks
                .iter()
                .filter_map(|marks| Some(to(marks)?.saturating_sub(from(marks)?)));
            Some((name, percentiles(took.collect())?))
        })
        .collect()
}

fn used(spent: &Spent, claims: usize) -> Used {
    let Spent {
        provision,
        reclaim,
        usage,
        idle,
        restart,
        left_on_export,
        restless,
    } = spent;
    let writes = |tally: &Tally| per(tally.writes(), claims);
    let calls = |tally: &Tally| {
        let each = tally.calls.iter();
        each.map(|(call, count)| (call.clone(), per(*count, claims)))
            .collect()
    };
    Used {
        peak_rss_mib: rounded(usage.peak_mib()),
        cpu_s: rounded(usage.cpu_seconds()),
        write_calls_per_claim: PerPhase {
            provision: writes(provision),
            reclaim: writes(reclaim),
        },
        calls_per_claim: PerPhase {
            provision: calls(provision),
            reclaim: calls(reclaim),
        },
        refused_calls: as_f64(provision.refused + reclaim.refused),
        lock_writes: as_f64(provision.lock_writes + reclaim.lock_writes),
        left_on_export: as_f64(*left_on_export),
        restless: *restless,
        idle: idle.as_ref().map(at_rest),
        restart_to_bound_ms: restart.map(ms),
    }
}

fn at_rest(idle: &Idle) -> AtRest {
    AtRest {
        latency: latencies(&idle.marks),
        writes_per_s: rate(idle.rest.writes(), idle.rested),
        lock_writes_per_s: rate(idle.rest.lock_writes, idle.rested),
    }
}

/// Medians of the runs of one contender; `None` without any.
pub(super) fn medians(runs: &[&Figures]) -> Option<Figures> {
    let used: Vec<&Used> = runs.iter().filter_map(|run| run.used.as_ref()).collect();
    Some(Figures {
        pv_created_per_s: median(runs.iter().filter_map(|run| run.pv_created_per_s)),
        volumes_waiting: median(runs.iter().filter_map(|run| run.volumes_waiting)),
        bound_per_s: median(runs.iter().map(|run| run.bound_per_s))?,
        deleted_per_s: median(runs.iter().map(|run| run.deleted_per_s))?,
        used: median_used(&used),
        latency: median_latencies(runs.iter().map(|run| &run.latency)),
    })
}

/// The median of each phase.
fn median_latencies<'a>(
    runs: impl Iterator<Item = &'a BTreeMap<&'static str, Latency>>,
) -> BTreeMap<&'static str, Latency> {
    let mut found: BTreeMap<&'static str, Vec<Latency>> = BTreeMap::new();
    for (name, latency) in runs.flatten() {
        found.entry(name).or_default().push(*latency);
    }
    found
        .into_iter()
        .filter_map(|(name, found)| Some((name, median_latency(&found)?)))
        .collect()
}

fn median_used(runs: &[&Used]) -> Option<Used> {
    let of = |figure: fn(&Used) -> f64| median(runs.iter().map(|used| figure(used)));
    let most = |figure: fn(&Used) -> f64| runs.iter().map(|used| figure(used)).reduce(f64::max);
    let calls = |phase: fn(&PerPhase<Calls>) -> &Calls| {
        let mut names: Vec<&String> = runs
            .iter()
            .flat_map(|used| phase(&used.calls_per_claim).keys())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| {
                // A call that a round did not see was made no time there.
                let counts = runs.iter().map(|used| {
                    let calls = phase(&used.calls_per_claim);
                    calls.get(name).copied().unwrap_or_default()
                });
                Some((name.clone(), median(counts)?))
            })
            .collect()
    };
    Some(Used {
        peak_rss_mib: most(|used| used.peak_rss_mib)?,
        cpu_s: of(|used| used.cpu_s)?,
        write_calls_per_claim: PerPhase {
            provision: of(|used| used.write_calls_per_claim.provision)?,
            reclaim: of(|used| used.write_calls_per_claim.reclaim)?,
        },
        calls_per_claim: PerPhase {
            provision: calls(|calls| &calls.provision),
            reclaim: calls(|calls| &calls.reclaim),
        },
        refused_calls: of(|used| used.refused_calls)?,
        lock_writes: of(|used| used.lock_writes)?,
        left_on_export: most(|used| used.left_on_export)?,
        restless: runs.iter().any(|used| used.restless),
        idle: median_rest(
            &runs
                .iter()
                .filter_map(|used| used.idle.as_ref())
                .collect::<Vec<_>>(),
        ),
        restart_to_bound_ms: median(runs.iter().filter_map(|used| used.restart_to_bound_ms)),
    })
}

fn median_rest(runs: &[&AtRest]) -> Option<AtRest> {
    Some(AtRest {
        latency: median_latencies(runs.iter().map(|rest| &rest.latency)),
        writes_per_s: median(runs.iter().map(|rest| rest.writes_per_s))?,
        lock_writes_per_s: median(runs.iter().map(|rest| rest.lock_writes_per_s))?,
    })
}

fn median_latency(found: &[Latency]) -> Option<Latency> {
    let of = |figure: fn(&Latency) -> f64| median(found.iter().map(figure));
    Some(Latency {
        count: found.iter().map(|latency| latency.count).min()?,
        p50_ms: of(|latency| latency.p50_ms)?,
        p95_ms: of(|latency| latency.p95_ms)?,
        p99_ms: of(|latency| latency.p99_ms)?,
        max_ms: of(|latency| latency.max_ms)?,
    })
}

/// The ratios of a subject; `None` when it finished no round.
pub(super) fn ratios(subject: &[&Run], ceiling: &[&Run]) -> Option<Ratios> {
    let to_ceiling = |figure: fn(&Figures) -> f64| {
        median(subject.iter().filter_map(|run| {
            let other = ceiling.iter().find(|other| other.round == run.round)?;
            Some(figure(&run.figures) / figure(&other.figures))
        }))
    };
    Some(Ratios {
        bound_of_ceiling: to_ceiling(|figures| figures.bound_per_s),
        deleted_of_ceiling: to_ceiling(|figures| figures.deleted_per_s),
        deleted_of_bound: median(
            subject
                .iter()
                .map(|run| run.figures.deleted_per_s / run.figures.bound_per_s),
        )?,
    })
}

/// Who keeps claims of this subject from being Bound faster, in bursts of so many.
pub(super) fn limited_by(figures: &Figures, ratios: &Ratios, claims: usize) -> LimitedBy {
    let backlog = BACKLOG.min(as_f64(claims) * BACKLOG_OF_CLAIMS);
    let near = ratios
        .bound_of_ceiling
        .filter(|ratio| *ratio >= NEAR_THE_CEILING);
    let behind = figures
        .volumes_waiting
        .filter(|waiting| *waiting >= backlog);
    let (by, why) = match (near, behind, ratios.bound_of_ceiling) {
        (Some(ratio), ..) => (
            Limiter::ControllerManager,
            format!(
                "claims are Bound at {ratio:.2} of the rate at which it binds volumes that are there \
                 already"
            ),
        ),
        (None, Some(waiting), Some(of_ceiling)) => (
            Limiter::ControllerManager,
            format!(
                "{waiting:.0} volumes at a time waited for it, and it bound {of_ceiling:.2} as many per \
                 second as when nobody makes volumes meanwhile"
            ),
        ),
        (None, Some(waiting), None) => (
            Limiter::ControllerManager,
            format!("{waiting:.0} volumes at a time waited for it"),
        ),
        (None, None, Some(ratio)) => (
            Limiter::Subject,
            format!(
                "claims are Bound at {ratio:.2} of the ceiling, as soon as their volumes are made"
            ),
        ),
        (None, None, None) => (
            Limiter::Subject,
            "claims are Bound as soon as their volumes are made; `--ceiling` would tell how near \
             the controller-manager's own rate that is"
                .to_owned(),
        ),
    };
    LimitedBy { by, why }
}

/// Events per second.
fn rate(count: usize, within: Duration) -> f64 {
    // A clock that did not move says nothing; a microsecond keeps the figure finite.
    rounded(as_f64(count) / within.as_secs_f64().max(1e-6))
}

fn per(count: usize, claims: usize) -> f64 {
    rounded(as_f64(count) / as_f64(claims.max(1)))
}

/// Percentiles by nearest rank; `None` without any.
fn percentiles(mut took: Vec<Duration>) -> Option<Latency> {
    took.sort_unstable();
    let rank = |percent: usize| {
        let rank = (took.len() * percent).div_ceil(100).max(1);
        took.get(rank - 1).copied().map(ms)
    };
    Some(Latency {
        count: took.len(),
        p50_ms: rank(50)?,
        p95_ms: rank(95)?,
        p99_ms: rank(99)?,
        max_ms: rank(100)?,
    })
}

/// The middle of the values, or of an even number of them the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let median = if values.len().is_multiple_of(2) {
        f64::midpoint(values[values.len() / 2 - 1], upper)
    } else {
        upper
    };
    Some(rounded(median))
}

fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

/// To three places, which is more than anything here means.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A count as a number to calculate with; exact below 2^32, which nothing here reaches.
fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
pub(super) mod tests;

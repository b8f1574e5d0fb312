//! Figures of steps that are made up, so that every number can be worked out by hand.

use super::super::usage::Usage;
use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Claim `n` is seen after `n` seconds, has a volume after 2n, is Bound after 4n, and is deleted and
/// gone likewise, 100 seconds later.
fn marks(n: u64) -> Marks {
    Marks {
        claim: Some(s(n)),
        volume: Some(s(2 * n)),
        available: None,
        bound: Some(s(4 * n)),
        deleting: Some(s(100 + n)),
        claim_gone: Some(s(100 + 2 * n)),
        released: None,
        volume_gone: Some(s(100 + 5 * n)),
    }
}

fn tally(calls: &[(&str, usize)]) -> Tally {
    Tally {
        calls: calls
            .iter()
            .map(|(call, count)| ((*call).to_owned(), *count))
            .collect(),
        lock_writes: 2,
        refused: 1,
    }
}

fn sample(spent: bool) -> Sample {
    Sample {
        marks: (1..=10).map(marks).collect(),
        provisioning: Duration::ZERO,
        reclaiming: Duration::from_secs(100),
        spent: spent.then(|| Spent {
            provision: tally(&[
                ("create persistentvolumes", 10),
                ("create events", 20),
                ("get persistentvolumeclaims", 10),
            ]),
            reclaim: tally(&[("delete persistentvolumes", 10)]),
            usage: Usage {
                peak_kib: 10 * 1024,
                ticks: 150,
            },
            idle: Some(Idle {
                marks: (1..=4).map(marks).collect(),
                rest: tally(&[("patch events", 1), ("list persistentvolumes", 7)]),
                rested: s(10),
            }),
            restart: Some(s(3)),
            left_on_export: 1,
            restless: false,
        }),
    }
}

/// A run of a subject at these rates, for tests of what is made of several.
pub(in crate::bench) fn run(contender: &str, round: usize, bound: f64, deleted: f64) -> Run {
    let mut run = measured(contender, round, &sample(contender != "ceiling"));
    run.figures.bound_per_s = bound;
    run.figures.deleted_per_s = deleted;
    if let Some(created) = &mut run.figures.pv_created_per_s {
        *created = bound;
    }
    run
}

fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn rates_run_from_the_first_call_to_the_last_event() {
    let Run { figures, .. } = measured("x", 1, &sample(true));
    close(figures.pv_created_per_s.unwrap(), 0.5);
    close(figures.bound_per_s, 0.25);
    close(figures.deleted_per_s, 0.2);
}

#[test]
fn waits_for_binding_are_averaged_over_the_time_in_which_any_claim_was_served() {
    let Run { figures, .. } = measured("x", 1, &sample(true));
    // 2, 4, ..., 20 seconds, from second 2 to second 40.
    close(figures.volumes_waiting.unwrap(), rounded(110.0 / 38.0));
    assert_eq!(
        measured("x", 1, &sample(false)).figures.volumes_waiting,
        None
    );
    assert_eq!(waiting(&[Marks::default()]), None);
}

#[test]
fn percentiles_are_those_of_the_nearest_rank() {
    let Run { figures, .. } = measured("x", 1, &sample(true));
    let bound = figures.latency[CLAIM_TO_BOUND];
    // 3, 6, ..., 30 seconds.
    assert_eq!(bound.count, 10);
    close(bound.p50_ms, 15_000.0);
    close(bound.p95_ms, 30_000.0);
    close(figures.latency[CLAIM_TO_VOLUME].p50_ms, 5_000.0);
    close(figures.latency[DELETION_TO_GONE].max_ms, 40_000.0);
    let one = percentiles(vec![Duration::from_millis(7)]).unwrap();
    assert_eq!((one.count, one.p50_ms, one.p99_ms), (1, 7.0, 7.0));
    assert_eq!(percentiles(Vec::new()), None);
}

#[test]
fn calls_are_told_per_claim_and_reads_are_no_writes() {
    let used = measured("x", 1, &sample(true)).figures.used.unwrap();
    close(used.write_calls_per_claim.provision, 3.0);
    close(used.write_calls_per_claim.reclaim, 1.0);
    close(used.calls_per_claim.provision["create events"], 2.0);
    close(
        used.calls_per_claim.provision["get persistentvolumeclaims"],
        1.0,
    );
    close(used.peak_rss_mib, 10.0);
    close(used.cpu_s, 1.5);
    close(used.lock_writes, 4.0);
    close(used.refused_calls, 2.0);
}

#[test]
fn at_rest_writes_are_counted_by_time_and_latencies_are_those_of_single_claims() {
    let used = measured("x", 1, &sample(true)).figures.used.unwrap();
    let idle = used.idle.unwrap();
    close(idle.writes_per_s, 0.1);
    close(idle.lock_writes_per_s, 0.2);
    assert_eq!(idle.latency[CLAIM_TO_VOLUME].count, 4);
    close(idle.latency[CLAIM_TO_VOLUME].p95_ms, 4_000.0);
    close(used.restart_to_bound_ms.unwrap(), 3_000.0);
}

#[test]
fn what_was_not_measured_beside_bursts_is_missing() {
    let mut sample = sample(true);
    let spent = sample.spent.as_mut().unwrap();
    (spent.idle, spent.restart) = (None, None);
    let run = measured("x", 1, &sample);
    let value = serde_json::to_value(medians(&[&run.figures]).unwrap()).unwrap();
    assert!(value.get("idle").is_none(), "{value}");
    assert!(value.get("restart_to_bound_ms").is_none(), "{value}");
    assert!(value.get("peak_rss_mib").is_some(), "{value}");
}

#[test]
fn the_ceiling_makes_no_volumes_and_uses_nothing() {
    let Run { figures, .. } = measured("ceiling", 1, &sample(false));
    assert_eq!(figures.pv_created_per_s, None);
    assert_eq!(figures.used, None);
    assert!(!figures.latency.contains_key(CLAIM_TO_VOLUME));
}

#[test]
fn the_median_outlives_a_bad_round_and_the_largest_peak_counts() {
    let mut runs = [
        run("x", 1, 10.0, 9.0),
        run("x", 2, 50.0, 40.0),
        run("x", 3, 52.0, 42.0),
    ];
    runs[1].figures.used.as_mut().unwrap().peak_rss_mib = 30.0;
    let all: Vec<&Figures> = runs.iter().map(|run| &run.figures).collect();
    let figures = medians(&all).unwrap();
    close(figures.bound_per_s, 50.0);
    close(figures.deleted_per_s, 40.0);
    let used = figures.used.unwrap();
    close(used.peak_rss_mib, 30.0);
    close(used.idle.unwrap().lock_writes_per_s, 0.2);
    close(used.restart_to_bound_ms.unwrap(), 3_000.0);
    close(median([1.0, 2.0].into_iter()).unwrap(), 1.5);
    assert_eq!(medians(&[]), None);
}

#[test]
fn a_ratio_is_of_two_figures_of_one_round() {
    // The machine was half as fast in round 2, for both.
    let subject = [run("x", 1, 45.0, 36.0), run("x", 2, 20.0, 18.0)];
    let ceiling = [run("ceiling", 1, 50.0, 40.0), run("ceiling", 2, 25.0, 20.0)];
    let ratios = ratios(
        &subject.iter().collect::<Vec<_>>(),
        &ceiling.iter().collect::<Vec<_>>(),
    )
    .unwrap();
    close(ratios.bound_of_ceiling.unwrap(), 0.85);
    close(ratios.deleted_of_ceiling.unwrap(), 0.9);
    close(ratios.deleted_of_bound, 0.85);
    let alone = super::ratios(&[&subject[0]], &[]).unwrap();
    assert_eq!(alone.bound_of_ceiling, None);
}

#[test]
fn the_controller_manager_is_named_where_it_is_the_limit() {
    let figures = |waiting: f64| {
        let mut figures = run("x", 1, 40.0, 40.0).figures;
        figures.volumes_waiting = Some(waiting);
        figures
    };
    let ratios = |bound_of_ceiling| Ratios {
        bound_of_ceiling,
        deleted_of_ceiling: bound_of_ceiling,
        deleted_of_bound: 1.0,
    };
    for (claims, waiting, ceiling, by) in [
        (1000, 3.0, Some(0.9), Limiter::ControllerManager),
        (1000, 3.0, Some(0.89), Limiter::Subject),
        (1000, 16.0, Some(0.7), Limiter::ControllerManager),
        (1000, 16.0, None, Limiter::ControllerManager),
        (1000, 15.9, None, Limiter::Subject),
        (20, 5.0, None, Limiter::ControllerManager),
        (20, 4.9, None, Limiter::Subject),
    ] {
        let limited = limited_by(&figures(waiting), &ratios(ceiling), claims);
        assert_eq!(
            limited.by, by,
            "{claims} {waiting} {ceiling:?}: {limited:?}"
        );
    }
}

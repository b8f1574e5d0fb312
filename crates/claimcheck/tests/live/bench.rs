//! Benches of few claims: what is counted must add up. How fast it went is nobody's business here.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::place::{Place, said};

fn figures(place: &Place, directory: &str) -> Value {
    let path = place.path(directory).join("bench.json");
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// Calls of every kind.
fn all(calls: &Value) -> f64 {
    calls.as_object().unwrap().values().map(number).sum()
}

#[test]
fn ceiling_and_subjects_take_turns_and_their_figures_add_up() {
    let place = Place::new();
    let output = place.call(
        "bench --subject reference,reference-mount --ceiling --claims 20 --rounds 2 --report-dir out",
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = figures(&place, "out");
    assert_eq!(report["schema"], "claimcheck/bench/v1");
    assert_eq!(report["complete"], true);
    let runs = report["runs"].as_array().unwrap();
    let order: Vec<(&str, u64)> = runs
        .iter()
        .map(|run| {
            let round = run["round"].as_u64().unwrap();
            (run["contender"].as_str().unwrap(), round)
        })
        .collect();
    assert_eq!(
        order,
        [
            ("ceiling", 1),
            ("reference", 1),
            ("reference-mount", 1),
            ("ceiling", 2),
            ("reference", 2),
            ("reference-mount", 2),
        ]
    );
    for run in runs {
        assert!(number(&run["bound_per_s"]) > 0.0, "{run}");
        assert!(number(&run["deleted_per_s"]) > 0.0, "{run}");
        assert_eq!(run["latency"]["claim_to_bound"]["count"], 20, "{run}");
        assert_eq!(run["latency"]["deletion_to_gone"]["count"], 20, "{run}");
        if run["contender"] == "ceiling" {
            assert!(run.get("peak_rss_mib").is_none(), "{run}");
            continue;
        }
        // The whole program is some megabytes; a process of 0 would be none of ours.
        assert!(number(&run["peak_rss_mib"]) > 1.0, "{run}");
        let calls = &run["calls_per_claim"];
        assert_eq!(calls["provision"]["create persistentvolumes"], 1.0, "{run}");
        assert!(
            number(&calls["reclaim"]["delete persistentvolumes"]) >= 1.0,
            "{run}"
        );
        // Two events, a volume, and one look at the claim; to begin with, a list now and then.
        assert!(all(&calls["provision"]) < 4.5, "{run}");
        assert!(all(&calls["reclaim"]) < 4.5, "{run}");
        assert_eq!(run["left_on_export"], 0.0, "{run}");
        assert!(run.get("idle").is_none(), "{run}");
        assert!(run.get("restart_to_bound_ms").is_none(), "{run}");
    }
    for subject in report["subjects"].as_array().unwrap() {
        assert_eq!(subject["rounds"], 2);
        let ratios = &report["ratios"][subject["name"].as_str().unwrap()];
        assert!(number(&ratios["bound_of_ceiling"]) > 0.0, "{ratios}");
    }
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("is the limit: "), "{out}");
    assert!(out.ends_with("out/bench.json\n"), "{out}");
    place.nothing_is_left();
}

#[test]
fn at_rest_the_reference_writes_to_its_lock_alone_and_started_again_it_goes_on() {
    let place = Place::new();
    let output = place.call("bench --idle --restart --claims 10 --rounds 1 --report-dir out");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = figures(&place, "out");
    let run = &report["runs"][0];
    let idle = &run["idle"];
    assert_eq!(idle["writes_per_s"], 0.0, "{run}");
    // A renewal every 2 s, or a little later where the machine is busy.
    let renewals = number(&idle["lock_writes_per_s"]);
    assert!((0.2..=0.6).contains(&renewals), "{run}");
    for phase in ["claim_to_volume", "claim_to_bound", "deletion_to_gone"] {
        assert_eq!(idle["latency"][phase]["count"], 40, "{run}");
    }
    assert!(number(&run["restart_to_bound_ms"]) > 0.0, "{run}");
    // What is done beside the burst is none of its calls, nor are lists of a new start.
    assert_eq!(run["latency"]["claim_to_bound"]["count"], 10, "{run}");
    let calls = &run["calls_per_claim"];
    assert_eq!(calls["provision"]["create persistentvolumes"], 1.0, "{run}");
    assert_eq!(calls["reclaim"]["delete persistentvolumes"], 1.0, "{run}");
    assert!(
        calls["reclaim"].get("list persistentvolumes").is_none(),
        "{run}"
    );
    assert_eq!(run["left_on_export"], 0.0, "{run}");
    // Two processes, each with a log of its own.
    for log in ["burst-1/subject.log", "burst-1/restarted/subject.log"] {
        assert!(place.path("out/bench-logs").join(log).exists(), "{log}");
    }
    place.nothing_is_left();
}

#[test]
fn a_subject_that_does_nothing_is_told_with_what_it_did_not_do() {
    let place = Place::new();
    let subject = place.impatient_idle();
    let output = place.call(&format!(
        "bench --subject {subject} --ceiling --claims 5 --rounds 1 --report-dir out"
    ));
    assert_eq!(output.status.code(), Some(100), "{}", said(&output));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        err.contains("subject `impatient`: not all claims Bound"),
        "{err}"
    );
    assert!(
        err.contains("of 5 claims 5 were made, 0 had a volume"),
        "{err}"
    );
    // The ceiling was measured before it, and is told.
    let report = figures(&place, "out");
    assert_eq!(report["complete"], false);
    assert_eq!(report["runs"].as_array().unwrap().len(), 1);
    assert_eq!(report["subjects"].as_array().unwrap().len(), 0);
    place.nothing_is_left();
}

#[test]
fn ctrl_c_ends_a_bench_and_leaves_nothing_but_what_was_measured() {
    let place = Place::new();
    let mut run = place.start("bench --ceiling --claims 20 --rounds 9 --report-dir out");
    run.says("round 1 of 9: ceiling: ");
    run.signal(Signal::SIGINT);
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(130), "{out}");
    let report = figures(&place, "out");
    assert_eq!(report["complete"], false);
    assert_eq!(report["failure"], "interrupted");
    assert!(out.contains("cut short"), "{out}");
    place.nothing_is_left();
}

//! Runs on `local` clusters.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{Place, said};

#[test]
fn two_runs_side_by_side_judge_report_and_leave_nothing() {
    let place = Place::new();
    let first = place.start("run --only B01 --report-dir one");
    let second = place.start("run --only B01 --report-dir two");
    for (run, directory) in [(first, "one"), (second, "two")] {
        let (status, out) = run.ends();
        assert_eq!(status.code(), Some(0), "{out}");
        let last = out.lines().last().unwrap();
        let skipped = conformance::catalogue::rows().count() - 1;
        assert_eq!(last, format!("1 passed, 0 failed, {skipped} skipped"));
        let report = place.report(directory);
        assert_eq!(report["schema"], "claimcheck/report/v1");
        assert_eq!(report["totals"]["passed"], 1);
        assert_eq!(report["cases"][0]["id"], "B01");
        assert_eq!(report["cases"][0]["outcome"], "passed");
        assert!(place.path(directory).join("junit.xml").exists());
        assert!(place.path(directory).join("logs/etcd.log").exists());
    }
    place.nothing_is_left();
}

#[test]
fn a_failure_is_told_in_full_and_kept_for_a_look_until_ctrl_c() {
    let place = Place::new();
    let subject = place.impatient_idle();
    let mut run = place.start(&format!(
        "run --subject {subject} --only B01 --keep failure"
    ));
    run.says("press Ctrl-C to take the testbed down");
    let kubeconfig = run
        .heard
        .iter()
        .find_map(|line| line.trim().strip_prefix("KUBECONFIG="))
        .expect("the kubeconfig is named");
    assert!(Path::new(kubeconfig).exists());
    run.signal(Signal::SIGINT);
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(100), "{out}");
    assert!(out.contains("B01 claimref-uid failed"), "{out}");
    assert!(
        out.contains("expected  claim data is Bound within 1 s"),
        "{out}"
    );
    assert!(out.contains("--only B01 --keep always"), "{out}");
    assert!(out.contains("claimcheck-report/captures/B01"), "{out}");
    assert!(
        place
            .path("claimcheck-report/captures/B01/objects.txt")
            .exists()
    );
    assert!(out.contains("\n0 passed, 1 failed, "), "{out}");
    place.nothing_is_left();
}

#[test]
fn ctrl_c_ends_a_run_in_order_with_a_report_of_what_was_judged() {
    let place = Place::new();
    let mut run = place.start("run --subject idle --only B01,B02");
    run.says("subject `idle` ready");
    run.signal(Signal::SIGINT);
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(130), "{out}");
    let report = place.report("claimcheck-report");
    assert_eq!(report["totals"]["inconclusive"], 2);
    assert_eq!(report["cases"][0]["reason"], "interrupted");
    place.nothing_is_left();
}

#[test]
fn a_killed_run_is_swept_by_the_next_command() {
    let place = Place::new();
    let mut run = place.start("run --subject idle --only B01");
    run.says("subject `idle` ready");
    run.signal(Signal::SIGKILL);
    let (status, _) = run.ends();
    assert_eq!(status.code(), None);
    let down = place.call("down");
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    assert!(
        said(&down).contains("swept testbed `run-"),
        "{}",
        said(&down)
    );
    place.nothing_is_left();
}

#[test]
fn a_control_plane_that_dies_gives_no_verdict() {
    let place = Place::new();
    let mut run = place.start("run --subject idle --only B01 --name fragile");
    run.says("subject `idle` ready");
    let state = place.home().load("fragile").unwrap();
    let etcd = state
        .children
        .iter()
        .find(|child| child.name == "etcd")
        .unwrap();
    kill(
        Pid::from_raw(i32::try_from(etcd.pid).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(105), "{out}");
    let report = place.report("claimcheck-report");
    let reason = report["cases"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("the testbed broke: process `etcd`"),
        "{reason}"
    );
    place.nothing_is_left();
}

#[test]
fn up_leaves_a_testbed_that_runs_attach_to_and_down_takes_it_away() {
    let place = Place::new();
    let up = place.call("up --name shared");
    assert_eq!(up.status.code(), Some(0), "{}", said(&up));
    let kubeconfig = String::from_utf8(up.stdout.clone()).unwrap();
    let kubeconfig = kubeconfig.trim().strip_prefix("KUBECONFIG=").unwrap();
    assert!(Path::new(kubeconfig).exists());

    let status = place.call("status");
    assert!(said(&status).contains("shared  v1."), "{}", said(&status));

    let run = place.call("run --name shared --only B01");
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert!(
        said(&run).contains("attached to testbed `shared`"),
        "{}",
        said(&run)
    );

    let other = place.call("run --name shared --only B01 --subject idle");
    assert_eq!(other.status.code(), Some(2), "{}", said(&other));
    assert!(
        said(&other).contains("runs subject `reference`, not `idle`"),
        "{}",
        said(&other)
    );

    let again = place.call("up --name shared");
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(
        said(&again).contains("cluster `shared` is already up"),
        "{}",
        said(&again)
    );

    let down = place.call("down --name shared");
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    place.nothing_is_left();
}

#[test]
fn ctrl_c_during_the_boot_leaves_nothing() {
    let place = Place::new();
    let mut run = place.start("run --subject idle --only B01");
    run.says("booting cluster");
    run.signal(Signal::SIGINT);
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(130), "{out}");
    assert_eq!(out, "");
    place.nothing_is_left();
}

#[test]
fn a_second_ctrl_c_takes_the_testbed_down_at_once() {
    let place = Place::new();
    let mut run = place.start("run --subject idle --only B01 --keep always");
    run.says("subject `idle` ready");
    run.signal(Signal::SIGINT);
    run.signal(Signal::SIGTERM);
    let (status, out) = run.ends();
    assert_eq!(status.code(), Some(130), "{out}");
    place.nothing_is_left();
}

#[test]
fn ctrl_c_during_up_leaves_nothing() {
    let place = Place::new();
    let mut up = place.start("up");
    up.says("booting cluster");
    up.signal(Signal::SIGINT);
    let (status, out) = up.ends();
    assert_eq!(status.code(), Some(130), "{out}");
    place.nothing_is_left();
}

#[test]
fn a_subject_that_dies_is_told_of_and_fails_its_cases() {
    let place = Place::new();
    let subject = place.impatient_idle();
    let path = Path::new(&subject);
    let text = fs_err::read_to_string(path).unwrap();
    fs_err::write(path, text.replace("[sleep, infinity]", "[sleep, \"0.1\"]")).unwrap();
    let run = place.call(&format!("run --subject {subject} --only B01"));
    assert_eq!(run.status.code(), Some(100), "{}", said(&run));
    let out = String::from_utf8_lossy(&run.stdout);
    assert!(
        out.contains("warning: subject `impatient` ended by itself"),
        "{out}"
    );
    place.nothing_is_left();
}

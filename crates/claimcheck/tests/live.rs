//! Whole runs of the built binary, with a real control plane each. They need the cluster's tools:
//! given, cached, downloaded or built, as for any run.
//!
//! One at a time: each boots a control plane, and the tests' own limits are for a machine that
//! runs one.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testbed::artifacts::Home;

/// How long anything that a test waits for may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A state root and a working directory for one test, and the turn to use the machine.
struct Place {
    directory: tempfile::TempDir,
    _turn: File,
}

impl Place {
    fn new() -> Self {
        let turn = fs_err::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("live.lock"));
        let (turn, _) = turn.unwrap().into_parts();
        turn.lock().unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            _turn: turn,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn home(&self) -> Home {
        Home::at(Utf8Path::from_path(&self.path("state")).unwrap())
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claimcheck"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .env("CLAIMCHECK_HOME", self.path("state"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        for option in [
            "SUBJECT", "CLUSTER", "NAME", "PROFILE", "ONLY", "EXCLUDE", "KEEP",
        ] {
            command.env_remove(format!("CLAIMCHECK_{option}"));
        }
        command
    }

    fn call(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, arguments: &str) -> Running {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = child.stderr.take().unwrap();
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Running {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// A subject that does nothing, and for which nobody waits long.
    fn impatient_idle(&self) -> String {
        let rbac = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/walkthrough/rbac.yaml"
        );
        let text = format!(
            "name: impatient\nprovisioner: westos.org/nfs\nmanifests: [{rbac}]\n\
             start:\n  process:\n    command: [sleep, infinity]\n    \
             serviceAccount: {{ namespace: default, name: nfs-client-provisioner }}\n\
             declares:\n  profiles: [core]\n  features: []\n\
             limits: {{ claim-bound: 1s }}\n"
        );
        let path = self.path("impatient.yaml");
        fs_err::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Asserts that no testbed and no process of this place is left.
    fn nothing_is_left(&self) {
        assert_eq!(self.home().names().unwrap(), Vec::<String>::new());
        let state = self.path("state").to_str().unwrap().to_owned();
        let left: Vec<String> = fs_err::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|pid| {
                let environment = fs_err::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&state)
            })
            .filter_map(|pid| fs_err::read_to_string(format!("/proc/{pid}/comm")).ok())
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }

    fn report(&self, directory: &str) -> Value {
        let path = self.path(directory).join("report.json");
        serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
    }
}

/// A command under way.
struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    /// Waits for a line of standard error that holds `text`.
    fn says(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.heard.last().is_some_and(|line| line.contains(text)) {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("`{text}` was never said, but: {:#?}", self.heard);
            };
            self.heard.push(line);
        }
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end; gives exit status and standard output.
    fn ends(mut self) -> (ExitStatus, String) {
        let out = self.child.stdout.take().unwrap();
        let text = std::io::read_to_string(out).unwrap();
        (self.child.wait().unwrap(), text)
    }
}

/// A test that fails does not leave a cluster behind.
impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

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

//! Children end when they should: by request, with their owner, and with all they started.

#![cfg(feature = "local")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use nix::unistd::geteuid;
use support::{PROBE, Probe, eventually};
use testbed::process::{Child, Spec};
use testbed::state::{MARK, Owner, marked};

/// Grace that no test wants to use up.
const LONG: Duration = Duration::from_mins(1);

struct Place {
    _directory: tempfile::TempDir,
    path: Utf8PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
    Place {
        _directory: directory,
        path,
    }
}

fn shell(place: &Place, script: &str) -> Spec {
    Spec {
        name: "test".to_owned(),
        command: "sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: BTreeMap::from([("GIVEN".to_owned(), "yes".to_owned())]),
        dir: place.path.clone(),
        log: place.path.join("test.log"),
        bind: Vec::new(),
        guard: Some(PROBE.into()),
    }
}

/// The pid that a script wrote as its last line.
fn written_pid(child: &Child) -> Owner {
    assert!(
        eventually(|| child.tail(1).parse::<u32>().is_ok()),
        "log: {}",
        child.tail(5)
    );
    Owner::of(child.tail(1).parse().unwrap()).unwrap()
}

#[tokio::test]
async fn output_goes_to_the_log_and_the_environment_is_what_was_given() {
    let place = place();
    let script = "echo out; echo err >&2; echo $GIVEN-$CARGO_MANIFEST_DIR; pwd; exit 3";
    let child = Child::spawn(shell(&place, script)).await.unwrap();
    assert_eq!(child.exited().await.code(), Some(3));
    assert_eq!(child.status().and_then(|status| status.code()), Some(3));
    assert_eq!(child.tail(9), format!("out\nerr\nyes-\n{}", place.path));
    let child = Child::spawn(shell(&place, "echo again")).await.unwrap();
    child.exited().await;
    assert!(child.tail(9).starts_with("out\n") && child.tail(9).ends_with("again"));
}

#[tokio::test]
async fn a_child_that_obeys_ends_by_sigterm_and_one_that_does_not_by_sigkill() {
    let place = place();
    let obeys = Child::spawn(shell(&place, "echo $$; exec sleep 600"))
        .await
        .unwrap();
    written_pid(&obeys);
    assert_eq!(obeys.stop(LONG).await.signal(), Some(15));
    let script = "trap '' TERM; echo $$; while :; do sleep 600; done";
    let defies = Child::spawn(shell(&place, script)).await.unwrap();
    let pid = defies.pid();
    assert!(eventually(|| defies.tail(1) == pid.to_string()));
    assert_eq!(
        defies.stop(Duration::from_millis(100)).await.signal(),
        Some(9)
    );
}

#[tokio::test]
async fn dropping_a_child_kills_its_whole_group() {
    let place = place();
    let child = Child::spawn(shell(&place, "sleep 600 & echo $!; wait"))
        .await
        .unwrap();
    let grandchild = written_pid(&child);
    let leader = Owner::of(child.pid()).unwrap();
    drop(child);
    assert!(eventually(|| !leader.is_alive() && !grandchild.is_alive()));
}

#[tokio::test]
async fn a_child_that_was_started_and_is_never_taken_ends() {
    let place = place();
    let spec = shell(&place, "echo $$; exec sleep 600");
    let log = spec.log.clone();
    let mut spawn = Box::pin(Child::spawn(spec));
    assert!(futures::poll!(&mut spawn).is_pending());
    // The child runs, and its owner has not been told yet when it is interrupted.
    let pid = || testbed::process::tail(&log, 1).parse::<u32>().ok();
    assert!(eventually(|| pid().is_some()));
    let child = Owner::of(pid().unwrap()).unwrap();
    drop(spawn);
    assert!(eventually(|| !child.is_alive()));
}

#[tokio::test]
async fn a_child_whose_start_is_given_up_does_not_start_after_that() {
    let place = place();
    for number in 0..50 {
        let mut spec = shell(&place, "exec sleep 600");
        let directory = place.path.join(number.to_string());
        spec.env.insert(MARK.to_owned(), directory.to_string());
        let mut spawn = Box::pin(Child::spawn(spec));
        // Somewhere on its way.
        let _ = futures::poll!(&mut spawn);
        drop(spawn);
        // What there is was killed, so it can only vanish from here on.
        assert!(eventually(|| marked(&directory).is_empty()));
        for _ in 0..5 {
            assert_eq!(marked(&directory), []);
        }
    }
}

#[tokio::test]
async fn what_a_child_leaves_behind_ends_with_it() {
    let place = place();
    let child = Child::spawn(shell(&place, "sleep 600 & echo $!; read line || sleep 0.3"))
        .await
        .unwrap();
    let grandchild = written_pid(&child);
    assert!(child.exited().await.success());
    assert!(eventually(|| !grandchild.is_alive()));
}

#[tokio::test]
async fn a_command_that_does_not_exist_ends_at_once_and_says_so_in_the_log() {
    let place = place();
    let spec = Spec {
        command: "/nonexistent/program".to_owned(),
        ..shell(&place, "")
    };
    let child = Child::spawn(spec).await.unwrap();
    assert_eq!(child.exited().await.code(), Some(126));
    assert!(
        child
            .tail(1)
            .contains("cannot execute /nonexistent/program"),
        "{}",
        child.tail(1)
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_an_error_before_anything_starts() {
    let place = place();
    let spec = Spec {
        log: "/proc/nonexistent/log".into(),
        ..shell(&place, "")
    };
    let error = Child::spawn(spec).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "process `test` was not started: its log cannot be opened"
    );
}

#[test]
fn a_killed_owner_leaves_no_child() {
    let place = place();
    let log = place.path.join("held.log");
    let mut probe = Probe::start(&["hold", log.as_str(), "sleep", "600"]);
    let child = probe.children[0];
    assert!(child.is_alive());
    probe.kill();
    assert!(eventually(|| !child.is_alive()));
}

#[test]
fn a_bound_directory_is_seen_by_the_child_alone() {
    let place = place();
    shows_the_bound_directory(&place, None);
}

#[test]
fn a_directory_is_bound_without_root_in_a_user_namespace() {
    if !geteuid().is_root() {
        // Then the test above was this one.
        return;
    }
    let place = place();
    open_to_all(&place.path);
    shows_the_bound_directory(&place, Some(65534));
}

/// Binds `from` over `to` for a child and looks at `to` from inside and outside.
fn shows_the_bound_directory(place: &Place, user: Option<u32>) {
    let (from, to, log) = (
        place.path.join("from"),
        place.path.join("to"),
        place.path.join("held.log"),
    );
    fs_err::create_dir(&from).unwrap();
    fs_err::create_dir(&to).unwrap();
    fs_err::write(from.join("inside"), "").unwrap();
    open_to_all(&from);
    let script = format!("ls {to}; touch {to}/made; echo done; exec sleep 600");
    let arguments = [
        "hold",
        log.as_str(),
        "--bind",
        from.as_str(),
        to.as_str(),
        "sh",
        "-c",
        &script,
    ];
    let mut command = Command::new(PROBE);
    if let Some(user) = user {
        // The build's own directory may be closed to that user.
        let copy = place.path.join("probe");
        fs_err::copy(PROBE, &copy).unwrap();
        command = Command::new(copy);
        command.uid(user).gid(user);
    }
    command.args(arguments);
    let mut probe = Probe::run(command);
    let logged = || testbed::process::tail(&log, 9);
    assert!(
        eventually(|| logged().ends_with("done")),
        "log: {}",
        logged()
    );
    assert_eq!(logged(), "inside\ndone");
    assert!(from.join("made").exists());
    assert_eq!(to.read_dir_utf8().unwrap().count(), 0);
    let child = probe.children[0];
    probe.kill();
    assert!(eventually(|| !child.is_alive()));
}

fn open_to_all(directory: &Utf8Path) {
    use std::os::unix::fs::PermissionsExt as _;

    fs_err::set_permissions(directory, std::fs::Permissions::from_mode(0o777)).unwrap();
}

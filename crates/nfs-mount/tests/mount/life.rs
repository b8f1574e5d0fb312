//! Mounting and unmounting.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::need_fuse;
use super::support::{Server, mount_nfs, raw, until};

fn line_of(place: &Path) -> Option<String> {
    let place = place.display().to_string();
    fs::read_to_string("/proc/self/mounts")
        .expect("mounts")
        .lines()
        .find(|line| line.split(' ').nth(1) == Some(&place))
        .map(str::to_owned)
}

#[test]
fn a_mount_answers_when_the_program_returns_and_is_gone_after_umount() {
    need_fuse!();
    let server = Server::new();
    let start = Instant::now();
    let mounted = server.mount("nodev,nosuid,noatime");
    eprintln!("mount: {:?}", start.elapsed());
    let line = line_of(mounted.path()).expect("in the table");
    assert!(line.starts_with("127.0.0.1:/export "), "{line}");
    assert!(line.contains(" fuse.nfs "), "{line}");
    for option in ["nodev", "nosuid", "noatime", "allow_other"] {
        assert!(line.contains(option), "{line}");
    }
    assert!(
        !line.contains("default_permissions"),
        "the server decides: {line}"
    );
    let process = mounted.process().expect("served");
    let log = fs::read_link(format!("/proc/{process}/fd/2")).expect("log");
    assert!(log.starts_with("/var/log/nfs-mount"), "{log:?}");
    assert_eq!(
        fs::read_link(format!("/proc/{process}/cwd")).expect("cwd"),
        Path::new("/")
    );
    // Its own session, and nothing of the caller's is open.
    let line = fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    let session: u32 = line
        .rsplit_once(')')
        .expect("stat")
        .1
        .split_whitespace()
        .nth(3)
        .expect("session")
        .parse()
        .expect("number");
    assert_eq!(session, process);
    for entry in fs::read_dir(format!("/proc/{process}/fd")).expect("fd") {
        let target = fs::read_link(entry.expect("entry").path());
        if let Ok(target) = target {
            assert!(!target.to_string_lossy().starts_with("pipe:"), "{target:?}");
        }
    }
    let place = mounted.path().to_owned();
    mounted.unmount();
    assert_eq!(line_of(&place), None);
    assert!(!log.exists(), "nothing happened, so no log is left");
}

#[test]
fn the_program_does_not_hold_its_callers_pipes() {
    need_fuse!();
    let server = Server::new();
    let place = tempfile::TempDir::new().expect("directory");
    // `output` reads to the end of both pipes, and the descriptor 9 is inherited, too.
    let script = "exec 9>&1; exec \"$0\" 127.0.0.1:/export \"$1\" -o \"$2\"";
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_mount-nfs")])
        .arg(place.path())
        .arg(server.options("vers=3"))
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    assert!(output.status.success(), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    nix::mount::umount(place.path()).expect("umount");
}

#[test]
fn a_busy_mount_is_not_unmounted_and_a_signal_takes_it_away_lazily() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let file = fs::File::create(mounted.join("file")).expect("create");
    assert_eq!(nix::mount::umount(mounted.path()), Err(Errno::EBUSY));
    let process = mounted.process().expect("served");
    kill(Pid::from_raw(process.cast_signed()), Signal::SIGTERM).expect("kill");
    until("the place is free", || line_of(mounted.path()).is_none());
    // Who has a file open goes on.
    std::io::Write::write_all(&mut &file, b"still").expect("write");
    file.sync_all().expect("fsync");
    assert!(mounted.process().is_some());
    drop(file);
    until("the process ends", || mounted.process().is_none());
    assert_eq!(
        fs::read(server.directory.join("file")).expect("read"),
        b"still"
    );
}

#[test]
fn many_mounts_come_and_go() {
    need_fuse!();
    let server = Server::new();
    let mounts: Vec<_> = (0..20).map(|_| server.mount("")).collect();
    for (number, mounted) in mounts.iter().enumerate() {
        fs::write(mounted.join(format!("f{number}")), b"x").expect("write");
    }
    for mounted in &mounts {
        assert_eq!(fs::read_dir(mounted.path()).expect("readdir").count(), 20);
    }
    mounts
        .into_iter()
        .for_each(super::support::Mounted::unmount);
}

#[test]
fn a_read_only_mount_changes_nothing() {
    need_fuse!();
    let server = Server::new();
    fs::write(server.directory.join("file"), b"x").expect("write");
    let mounted = server.mount("ro");
    let error = fs::write(mounted.join("file"), b"y").expect_err("read-only");
    assert_eq!(raw(&error), Errno::EROFS as i32);
    assert_eq!(fs::read(mounted.join("file")).expect("read"), b"x");
}

#[test]
fn a_directory_below_the_export_is_mounted_by_itself() {
    need_fuse!();
    let server = Server::new();
    fs::create_dir_all(server.directory.join("a/b")).expect("mkdir");
    fs::write(server.directory.join("a/b/file"), b"x").expect("write");
    let mounted = server
        .try_mount("127.0.0.1:/export/a/b", "")
        .expect("mounted");
    assert_eq!(fs::read(mounted.join("file")).expect("read"), b"x");
}

#[test]
fn what_fails_says_why_with_the_code_of_mount() {
    need_fuse!();
    let server = Server::new();
    for (source, options, code, words) in [
        (
            "127.0.0.1:/export",
            "frobnicate",
            1,
            &["frobnicate", "not known"][..],
        ),
        ("127.0.0.1:/export", "vers=4.1", 1, &["vers=4.1", "NFSv3"]),
        (
            "127.0.0.1:/export",
            "sec=krb5p",
            1,
            &["sec=krb5p", "AUTH_SYS"],
        ),
        ("nowhere", "", 1, &["nowhere", "SERVER:/PATH"]),
        ("127.0.0.1:/elsewhere", "", 32, &["/elsewhere", "refuses"]),
        (
            "no-such-host.invalid:/export",
            "",
            32,
            &["no-such-host.invalid"],
        ),
        (
            "127.0.0.1:/export",
            "mountport=1",
            32,
            &["MOUNT", "127.0.0.1:1"],
        ),
    ] {
        let output = server.try_mount(source, options).err().expect(source);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{source} {options}: {text}"
        );
        for word in words {
            assert!(text.contains(word), "{source} {options}: {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let output = mount_nfs(["127.0.0.1:/export", "/no/such/place"]);
    assert_eq!(output.status.code(), Some(32));
    let output = mount_nfs(["127.0.0.1:/export", "/tmp", "-t", "nfs4"]);
    assert_eq!(output.status.code(), Some(1));
    let output = mount_nfs(["-f", "127.0.0.1:/export", "/tmp", "-o", "soft"]);
    assert!(output.status.success());
}

#[test]
fn the_process_leaves_its_callers_control_group() {
    need_fuse!();
    let unified = Path::new("/sys/fs/cgroup/cgroup.procs").exists();
    let group = Path::new("/sys/fs/cgroup")
        .join(if unified { "" } else { "memory" })
        .join(format!("nfs-mount-test-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&group) {
        eprintln!("NOT TESTED: no control group of its own: {error}");
        return;
    }
    let server = Server::new();
    let place = tempfile::TempDir::new().expect("directory");
    let script = "echo $$ > \"$0/cgroup.procs\" && exec \"$1\" 127.0.0.1:/export \"$2\" -o \"$3\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(&group)
        .arg(env!("CARGO_BIN_EXE_mount-nfs"))
        .arg(place.path())
        .arg(server.options(""))
        .output()
        .expect("sh");
    assert!(output.status.success(), "{output:?}");
    let left = fs::read_to_string(group.join("cgroup.procs")).expect("processes");
    assert_eq!(
        left, "",
        "the group is empty, so it can be stopped without harm"
    );
    fs::read_dir(place.path()).expect("it is served");
    nix::mount::umount(place.path()).expect("umount");
    fs::remove_dir(&group).expect("group");
}

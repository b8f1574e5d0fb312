//! Servers that do not answer.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::front::COMMIT;
use super::need_fuse;
use super::support::{Server, raw, until};

/// Whether a process waits for an answer of the file system.
fn waits(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|at| at.contains("request_wait"))
}

fn start(script: &str, argument: &Path) -> std::process::Child {
    Command::new("sh")
        .args(["-c", script])
        .arg(argument)
        .stdin(Stdio::null())
        .spawn()
        .expect("sh")
}

#[test]
fn a_hard_mount_waits_and_its_callers_can_be_killed() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), b"x").expect("write");
    server.front.silent(true);
    let mut killed = Vec::new();
    for script in [
        "exec cat \"$0\"",
        "exec ls \"$0\"",
        "exec touch \"$0.new\"",
        "exec rm -f \"$0\"",
    ] {
        let child = start(script, &mounted.join("file"));
        until("it waits", || waits(child.id()));
        killed.push(child);
    }
    thread::sleep(Duration::from_millis(300));
    for child in &mut killed {
        assert!(child.try_wait().expect("wait").is_none(), "hard: it waits");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).expect("kill");
    }
    let start = Instant::now();
    for mut child in killed {
        until("it is dead", || child.try_wait().expect("wait").is_some());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    server.front.silent(false);
    assert_eq!(fs::read(mounted.join("file")).expect("read"), b"x");
}

#[test]
fn a_writer_that_is_killed_while_the_server_is_silent_dies() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let mut child = start(
        "exec 3>\"$0\"; echo a >&3; while :; do echo b >&3; done",
        &mounted.join("file"),
    );
    until("it writes", || {
        fs::metadata(server.directory.join("file")).is_ok_and(|real| real.len() > 10)
    });
    server.front.silent(true);
    thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).expect("kill");
    until("it is dead", || child.try_wait().expect("wait").is_some());
    server.front.silent(false);
}

#[test]
fn a_hard_mount_goes_on_when_the_server_is_back() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), b"x").expect("write");
    server.front.stop();
    thread::scope(|scope| {
        let reader = scope.spawn(|| fs::read(mounted.join("file")));
        thread::sleep(Duration::from_secs(1));
        assert!(!reader.is_finished());
        server.front.start();
        assert_eq!(reader.join().expect("thread").expect("read"), b"x");
    });
}

#[test]
fn the_place_of_a_mount_can_be_looked_at_while_the_server_is_gone() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let before = fs::metadata(mounted.path()).expect("stat");
    nix::sys::statvfs::statvfs(mounted.path()).expect("statvfs");
    server.front.stop();
    for round in 0..3 {
        let start = Instant::now();
        let now = fs::metadata(mounted.path()).expect("stat");
        assert_eq!(
            std::os::unix::fs::MetadataExt::ino(&now),
            std::os::unix::fs::MetadataExt::ino(&before)
        );
        nix::sys::statvfs::statvfs(mounted.path()).expect("statvfs");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{round}: {:?}",
            start.elapsed()
        );
    }
    server.front.start();
    // Nobody waits for anything; still it is noticed that the server is back.
    File::create(server.directory.join("new")).expect("create");
    until("the server is asked again", || {
        fs::metadata(mounted.path())
            .expect("stat")
            .modified()
            .expect("mtime")
            > before.modified().expect("mtime")
    });
}

#[test]
fn a_mount_of_a_server_that_is_gone_can_be_unmounted() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), b"x").expect("write");
    server.front.stop();
    let start = Instant::now();
    mounted.unmount();
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_lazy_unmount_with_a_waiting_caller_hangs_nothing() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), b"x").expect("write");
    server.front.stop();
    let mut child = start("exec cat \"$0\"", &mounted.join("file"));
    until("it waits", || waits(child.id()));
    let output = Command::new("umount")
        .arg("-l")
        .arg(mounted.path())
        .output()
        .expect("umount");
    assert!(output.status.success(), "{output:?}");
    child.kill().expect("kill");
    until("it is dead", || child.try_wait().expect("wait").is_some());
    until("the process ends", || mounted.process().is_none());
}

#[test]
fn a_soft_mount_gives_up_in_time() {
    need_fuse!();
    let server = Server::new();
    for (options, errno) in [
        ("soft,timeo=5,retrans=2", Errno::EIO),
        ("softerr,timeo=5,retrans=2", Errno::ETIMEDOUT),
    ] {
        let mounted = server.mount(options);
        fs::write(mounted.join("file"), b"x").expect("write");
        server.front.silent(true);
        let start = Instant::now();
        let error = fs::metadata(mounted.join("file")).expect_err("silent");
        let took = start.elapsed();
        assert_eq!(raw(&error), errno as i32, "{options}");
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(4)).contains(&took),
            "{options}: {took:?}"
        );
        server.front.silent(false);
        assert_eq!(fs::read(mounted.join("file")).expect("read"), b"x");
    }
}

#[test]
fn an_exec_that_closes_a_file_slowly_goes_on() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    // Longer than it takes until it is looked whether the caller is still there.
    server.front.slow_down(COMMIT, Duration::from_secs(1));
    let script = "import os,sys\n\
        f=os.open(sys.argv[1],os.O_WRONLY|os.O_CREAT); os.write(f,b'data')\n\
        os.execv('/bin/true',['true'])";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(mounted.join("file"))
        .spawn()
        .expect("python3");
    until("it has run", || child.try_wait().expect("wait").is_some());
    assert!(child.wait().expect("wait").success());
    assert_eq!(server.front.calls(COMMIT), 1);
}

#[test]
fn a_process_with_a_written_mapping_ends_without_the_server() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), [0; 8192]).expect("write");
    let script = "import mmap,os,sys\n\
        f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0)\n\
        m[5000:5005]=b'hello'; os.write(1,b'written'); os.read(0,1)";
    let mut child = Command::new("python3")
        .args(["-c", script])
        .arg(mounted.join("file"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut word = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().expect("pipe"), &mut word).expect("written");
    server.front.stop();
    child.kill().expect("kill");
    until("it is dead", || child.try_wait().expect("wait").is_some());
    server.front.start();
    until("the page is there", || {
        fs::read(server.directory.join("file")).expect("read")[5000..5005] == *b"hello"
    });
}

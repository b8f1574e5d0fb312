//! Servers that are restarted, and replies that are lost.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::front::{COMMIT, CREATE, REMOVE, RENAME, WRITE};
use super::need_fuse;
use super::support::{Server, pattern, raw, until};

#[test]
fn what_a_restarted_server_lost_is_written_again() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let mut file = File::create(mounted.join("file")).expect("create");
    let (first, second) = (pattern(300_000, 1), pattern(200_000, 2));
    file.write_all(&first).expect("write");
    server.front.stop();
    // The server never had it on disk.
    let real = OpenOptions::new()
        .write(true)
        .open(server.directory.join("file"))
        .expect("open");
    real.set_len(0).expect("truncate");
    server.front.start();
    file.write_all(&second).expect("write");
    file.sync_all().expect("fsync");
    let wanted = [first, second].concat();
    assert!(fs::read(server.directory.join("file")).expect("read") == wanted);
    drop(file);
    assert!(fs::read(mounted.join("file")).expect("read") == wanted);
}

#[test]
fn a_later_write_over_a_lost_one_stays_on_top() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let file = File::create(mounted.join("file")).expect("create");
    file.write_all_at(&[1; 1000], 0).expect("write");
    server.front.stop();
    server.front.start();
    file.write_all_at(&[2; 100], 50).expect("write");
    file.sync_all().expect("fsync");
    let real = fs::read(server.directory.join("file")).expect("read");
    assert_eq!(real[..50], [1; 50]);
    assert_eq!(real[50..150], [2; 100]);
    assert_eq!(real[150..], [1; 850]);
}

#[test]
fn lost_data_is_read_and_measured_as_if_it_were_there() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mounted.join("file"))
        .expect("create");
    let data = pattern(100_000, 5);
    file.write_all_at(&data, 0).expect("write");
    server.front.stop();
    fs::write(server.directory.join("file"), b"").expect("truncate");
    server.front.start();
    assert_eq!(
        fs::metadata(mounted.join("file")).expect("stat").len(),
        100_000
    );
    let mut seen = vec![0; data.len()];
    file.read_exact_at(&mut seen, 0).expect("read");
    assert!(seen == data);
}

#[test]
fn data_lost_after_the_commit_is_not_looked_for() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let mut file = File::create(mounted.join("file")).expect("create");
    file.write_all(&[1; 1000]).expect("write");
    file.sync_all().expect("fsync");
    assert_eq!(server.front.calls(COMMIT), 1);
    server.front.stop();
    server.front.start();
    let writes = server.front.calls(WRITE);
    file.sync_all().expect("fsync");
    file.write_all(&[2; 1000]).expect("write");
    file.sync_all().expect("fsync");
    assert_eq!(server.front.calls(WRITE), writes + 1);
}

#[test]
fn a_writer_goes_on_through_restarts_and_nothing_synced_is_lost() {
    const LINES: usize = 400;
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(mounted.join("log"))
                .expect("create");
            for number in 0..LINES {
                writeln!(file, "line {number}").expect("write");
                file.sync_all().expect("fsync");
            }
            finished.store(true, Ordering::SeqCst);
        });
        let mut restarts = 0;
        while !finished.load(Ordering::SeqCst) && !writer.is_finished() {
            server.front.stop();
            thread::sleep(Duration::from_millis(30));
            server.front.start();
            restarts += 1;
            thread::sleep(Duration::from_millis(50));
        }
        assert!(restarts > 1, "it was over too soon to mean anything");
    });
    let text = fs::read_to_string(server.directory.join("log")).expect("read");
    // An append whose reply was lost may be there twice (nfs(5)); none may be missing.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.dedup();
    let wanted: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(lines, wanted);
}

#[test]
fn calls_whose_reply_is_lost_are_done_once() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let path = mounted.join("file");
    server.front.lose_reply_of(CREATE);
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    drop(file.expect("exclusive create"));
    assert!(server.front.has_lost());
    server.front.lose_reply_of(RENAME);
    fs::rename(&path, mounted.join("new")).expect("rename");
    assert!(server.front.has_lost());
    server.front.lose_reply_of(REMOVE);
    fs::remove_file(mounted.join("new")).expect("unlink");
    assert!(server.front.has_lost());
    assert_eq!(fs::read_dir(&server.directory).expect("readdir").count(), 0);
    server.front.lose_reply_of(CREATE);
    fs::write(mounted.join("plain"), b"x").expect("create");
    assert!(server.front.has_lost());
}

#[test]
fn a_mount_outlives_a_server_whose_handles_dont() {
    need_fuse!();
    let first = Server::new();
    fs::write(first.directory.join("file"), b"same").expect("write");
    let mounted = first.mount("");
    assert_eq!(fs::read(mounted.join("file")).expect("read"), b"same");
    let open = File::open(mounted.join("file")).expect("open");
    // A second server over the same directory, at the same place.
    let second = first.again();
    assert_eq!(fs::read(mounted.join("file")).expect("read"), b"same");
    fs::write(mounted.join("other"), b"new").expect("write");
    let error = open.metadata().expect_err("its handle is stale");
    // The kernel gives the inode up when its number leads to another handle.
    assert!(
        [Errno::ESTALE as i32, Errno::EIO as i32].contains(&raw(&error)),
        "{error}"
    );
    drop(second);
}

#[test]
fn a_listing_goes_on_after_a_restart() {
    need_fuse!();
    let mut server = Server::new();
    for number in 0..5000 {
        File::create(server.directory.join(format!("f{number}"))).expect("create");
    }
    let mounted = server.mount("");
    let mut list = fs::read_dir(mounted.path()).expect("readdir");
    let mut seen: Vec<_> = list.by_ref().take(10).collect();
    server.front.stop();
    server.front.start();
    seen.extend(list);
    let mut names: Vec<_> = seen
        .into_iter()
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5000);
}

#[test]
fn a_process_that_ends_while_the_server_is_gone_leaves_its_data_in_good_hands() {
    need_fuse!();
    let mut server = Server::new();
    let mounted = server.mount("");
    // No shell: its redirections close copies of the descriptor, and each close commits.
    let script = "import os,sys\n\
        f=os.open(sys.argv[1],os.O_WRONLY|os.O_CREAT); os.write(f,b'data')\n\
        os.write(1,b'written'); os.read(0,1)";
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(mounted.join("file"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    let mut line = [0; 7];
    std::io::Read::read_exact(child.stdout.as_mut().expect("pipe"), &mut line).expect("written");
    server.front.stop();
    fs::write(server.directory.join("file"), b"").expect("lost");
    drop(child.stdin.take());
    until("the process ends", || {
        child.try_wait().expect("wait").is_some()
    });
    server.front.start();
    until("the data is there", || {
        fs::read(server.directory.join("file")).expect("read") == b"data"
    });
}

//! Reading and writing through one mount.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::front::{READ, WRITE};
use super::need_fuse;
use super::support::{Server, pattern, raw, until};

const MIB: usize = 1024 * 1024;

/// How large the sequential file is, in MiB; `NFS_MOUNT_TEST_MIB=1024` for the large one.
fn size() -> usize {
    std::env::var("NFS_MOUNT_TEST_MIB")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(64)
}

#[test]
fn a_large_file_is_the_same_after_a_way_there_and_back() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let blocks: Vec<Vec<u8>> = (0..16).map(|seed| pattern(MIB, seed + 1)).collect();
    let path = mounted.join("large");
    let start = Instant::now();
    let mut file = File::create(&path).expect("create");
    for number in 0..size() {
        file.write_all(&blocks[number % 16]).expect("write");
    }
    file.sync_all().expect("fsync");
    let took = start.elapsed();
    eprintln!("{} MiB written and synced: {took:?}", size());
    drop(file);
    assert_eq!(
        fs::metadata(server.directory.join("large"))
            .expect("stat")
            .len(),
        (size() * MIB) as u64
    );
    let start = Instant::now();
    let mut file = File::open(&path).expect("open");
    let mut block = vec![0; MIB];
    for number in 0..size() {
        file.read_exact(&mut block).expect("read");
        assert!(block == blocks[number % 16], "block {number}");
    }
    assert_eq!(file.read(&mut block).expect("read"), 0);
    eprintln!("{} MiB read: {:?}", size(), start.elapsed());
    let large = (size() * MIB) as u64;
    assert!(
        server.front.calls(WRITE) <= large / MIB as u64 * 2,
        "large writes"
    );
    assert!(
        server.front.calls(READ) <= large / MIB as u64 * 5,
        "large reads"
    );
}

#[test]
fn small_transfers_are_honoured() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("rsize=4096,wsize=4096");
    let data = pattern(100_000, 7);
    fs::write(mounted.join("file"), &data).expect("write");
    assert_eq!(fs::read(mounted.join("file")).expect("read"), data);
    assert!(server.front.calls(WRITE) >= 25);
    assert!(server.front.calls(READ) >= 25);
}

#[test]
fn holes_overlaps_and_odd_places_are_right() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(mounted.join("file"))
        .expect("create");
    let mut wanted = vec![0; 3 * MIB + 17];
    for (seed, (offset, length)) in [
        (5, 3),
        (MIB - 1, 2),
        (3 * MIB, 17),
        (4000, 10_000),
        (4095, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let data = pattern(length, seed as u64 + 1);
        file.write_all_at(&data, offset as u64).expect("write");
        wanted[offset..offset + length].copy_from_slice(&data);
    }
    let mut seen = vec![0; wanted.len()];
    file.read_exact_at(&mut seen, 0).expect("read");
    assert!(seen == wanted);
    drop(file);
    assert!(fs::read(server.directory.join("file")).expect("read") == wanted);
}

#[test]
fn a_mapped_file_is_read_and_written() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), pattern(10_000, 3)).expect("write");
    let script = "import mmap,sys\n\
        f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0)\n\
        m[5000:5005]=b'hello'; assert m[5000:5005]==b'hello'\n\
        m.flush(); m.close(); f.close()";
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(mounted.join("file"))
        .output()
        .expect("python3");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        &fs::read(server.directory.join("file")).expect("read")[5000..5005],
        b"hello"
    );
}

#[test]
fn a_full_disk_is_told_at_the_write_or_the_close() {
    need_fuse!();
    let server = Server::with(false, |directory| {
        nix::mount::mount(
            Some("small"),
            directory,
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            Some("size=4m"),
        )
        .expect("tmpfs");
    });
    let mounted = server.mount("");
    let mut file = File::create(mounted.join("file")).expect("create");
    let told = (0..8).find_map(|seed| {
        file.write_all(&pattern(MIB, seed))
            .and_then(|()| file.sync_all())
            .err()
    });
    assert_eq!(raw(&told.expect("full")), Errno::ENOSPC as i32);
    drop(file);
    fs::remove_file(mounted.join("file")).expect("unlink");
    fs::write(mounted.join("file"), b"room again").expect("write");
}

#[test]
fn one_slow_call_holds_up_nobody_else() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    for number in 0..20 {
        fs::write(mounted.join(format!("file-{number}")), pattern(100, number)).expect("write");
    }
    server.front.slow_down(READ, Duration::from_secs(1));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..20 {
            let path = mounted.join(format!("file-{number}"));
            scope.spawn(move || fs::read(path).expect("read"));
        }
        until("the reads are on their way", || {
            server.front.calls(READ) >= 20
        });
        for _ in 0..10 {
            fs::metadata(mounted.join("file-1")).expect("stat");
        }
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
    });
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_file_may_be_written_to_by_its_creator_whatever_its_mode() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(mounted.join("file"))
        .expect("create");
    file.write_all(b"x").expect("write");
    file.set_len(0).expect("truncate");
    file.sync_all().expect("fsync");
}

#[test]
fn programs_run_and_without_leave_they_dont() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::copy("/bin/true", mounted.join("program")).expect("copy");
    assert!(
        std::process::Command::new(mounted.join("program"))
            .status()
            .expect("run")
            .success()
    );
    let strict = server.mount("noexec");
    let error = std::process::Command::new(strict.join("program"))
        .status()
        .expect_err("noexec");
    assert_eq!(raw(&error), Errno::EACCES as i32);
}

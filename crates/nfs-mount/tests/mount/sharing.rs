//! Two mounts of one export.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use super::front::READ;
use super::need_fuse;
use super::support::{Server, pattern, until};

/// The content as sendfile(2) gives it, with the size that the name had.
fn by_sendfile(path: &Path) -> Vec<u8> {
    let script = "import os,sys\n\
        f=os.open(sys.argv[1],os.O_RDONLY); o=1\n\
        while os.sendfile(o,f,None,1<<20): pass";
    let sent = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .expect("python3");
    assert!(sent.status.success(), "{sent:?}");
    sent.stdout
}

fn by_mapping(path: &Path) -> Vec<u8> {
    let script = "import mmap,sys\n\
        f=open(sys.argv[1],'rb'); m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\n\
        sys.stdout.buffer.write(m[:])";
    let mapped = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .expect("python3");
    assert!(mapped.status.success(), "{mapped:?}");
    mapped.stdout
}

#[test]
fn what_one_closes_the_other_opens_whole_by_every_way_of_reading() {
    need_fuse!();
    let server = Server::new();
    let (here, there) = (server.mount(""), server.mount(""));
    let (mine, theirs) = (here.join("page"), there.join("page"));
    // Longer, shorter, of the same length, and at once after each other.
    for (round, length) in [100, 5000, 5000, 20, 300_000, 300_000, 1]
        .into_iter()
        .enumerate()
    {
        let data = pattern(length, round as u64 + 1);
        fs::write(&mine, &data).expect("write");
        assert!(by_sendfile(&theirs) == data, "sendfile, round {round}");
        assert!(
            fs::read(&theirs).expect("read") == data,
            "read, round {round}"
        );
        assert!(by_mapping(&theirs) == data, "mmap, round {round}");
        assert_eq!(fs::metadata(&theirs).expect("stat").len(), length as u64);
    }
}

#[test]
fn an_open_reader_sees_what_was_appended() {
    need_fuse!();
    let server = Server::new();
    let (here, there) = (server.mount(""), server.mount(""));
    fs::write(here.join("log"), b"one\n").expect("write");
    let mut reader = File::open(there.join("log")).expect("open");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    let mut writer = OpenOptions::new()
        .append(true)
        .open(here.join("log"))
        .expect("open");
    writer.write_all(b"two\n").expect("write");
    writer.sync_all().expect("fsync");
    // Within the 20 ms that attributes are reused, or right after.
    until("the second line is seen", || {
        reader.read_to_string(&mut text).expect("read");
        text == "one\ntwo\n"
    });
}

#[test]
fn appends_of_two_mounts_lie_one_after_the_other() {
    need_fuse!();
    let server = Server::new();
    let (here, there) = (server.mount(""), server.mount(""));
    let open = |path| {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("open")
    };
    let (mut mine, mut theirs) = (open(here.join("log")), open(there.join("log")));
    let mut wanted = String::new();
    for number in 0..50 {
        let (a, b) = (format!("a{number}\n"), format!("b{number}\n"));
        mine.write_all(a.as_bytes()).expect("write");
        theirs.write_all(b.as_bytes()).expect("write");
        wanted.push_str(&a);
        wanted.push_str(&b);
    }
    assert_eq!(
        fs::read_to_string(server.directory.join("log")).expect("read"),
        wanted
    );
    assert_eq!(fs::read_to_string(here.join("log")).expect("read"), wanted);
}

#[test]
fn concurrent_writers_each_have_their_part() {
    const PART: usize = 256 * 1024;
    need_fuse!();
    let server = Server::new();
    let mounts = [server.mount(""), server.mount("")];
    fs::write(mounts[0].join("file"), vec![0; 8 * PART]).expect("write");
    std::thread::scope(|scope| {
        for part in 0..8 {
            let path = mounts[part % 2].join("file");
            scope.spawn(move || {
                use std::os::unix::fs::FileExt;
                let file = OpenOptions::new().write(true).open(path).expect("open");
                for (at, piece) in pattern(PART, part as u64 + 1).chunks(10_007).enumerate() {
                    let offset = part * PART + at * 10_007;
                    file.write_all_at(piece, offset as u64).expect("write");
                }
            });
        }
    });
    let wanted: Vec<u8> = (0..8).flat_map(|part| pattern(PART, part + 1)).collect();
    for mounted in &mounts {
        assert!(fs::read(mounted.join("file")).expect("read") == wanted);
    }
}

#[test]
fn an_unchanged_file_is_read_from_memory() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), pattern(100_000, 1)).expect("write");
    // What was changed within the last second may be changed again without a trace.
    until("the file is settled", || {
        fs::metadata(mounted.join("file"))
            .expect("stat")
            .modified()
            .expect("mtime")
            .elapsed()
            .is_ok_and(|age| age.as_millis() > 1100)
    });
    let read = || fs::read(mounted.join("file")).expect("read").len();
    assert_eq!(read(), 100_000);
    assert_eq!(read(), 100_000);
    let calls = server.front.calls(READ);
    assert_eq!(read(), 100_000);
    assert_eq!(server.front.calls(READ), calls, "nothing was read again");
}

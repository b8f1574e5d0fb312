//! Names: rename, unlink, directories.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::RenameFlags;

use super::need_fuse;
use super::support::{Server, raw, until};

fn names(path: &std::path::Path) -> BTreeSet<String> {
    fs::read_dir(path)
        .expect("readdir")
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("utf-8")
        })
        .collect()
}

#[test]
fn renames_replace_and_refuse_as_they_should() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("a"), b"a").expect("write");
    fs::write(mounted.join("b"), b"b").expect("write");
    fs::create_dir(mounted.join("d")).expect("mkdir");
    fs::rename(mounted.join("a"), mounted.join("b")).expect("rename");
    assert_eq!(fs::read(mounted.join("b")).expect("read"), b"a");
    fs::rename(mounted.join("b"), mounted.join("d/c")).expect("rename");
    assert_eq!(names(mounted.path()), BTreeSet::from(["d".to_owned()]));
    let error = fs::rename(mounted.join("none"), mounted.join("x")).expect_err("not there");
    assert_eq!(raw(&error), Errno::ENOENT as i32);
    let error = fs::rename(mounted.join("d"), mounted.join("d/e")).expect_err("into itself");
    assert_eq!(raw(&error), Errno::EINVAL as i32);
    let cwd = nix::fcntl::AT_FDCWD;
    for flags in [RenameFlags::RENAME_NOREPLACE, RenameFlags::RENAME_EXCHANGE] {
        let refused =
            nix::fcntl::renameat2(cwd, &mounted.join("d/c"), cwd, &mounted.join("free"), flags);
        // EXCHANGE of a name that is not there fails before this file system is asked.
        assert!(
            matches!(refused, Err(Errno::EINVAL | Errno::ENOENT)),
            "{refused:?}"
        );
    }
    let error = fs::remove_dir(mounted.join("d")).expect_err("not empty");
    assert_eq!(raw(&error), Errno::ENOTEMPTY as i32);
}

#[test]
fn a_removed_open_file_can_be_used_and_is_gone_when_it_is_closed() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::create_dir(mounted.join("d")).expect("mkdir");
    let path = mounted.join("d/file");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .expect("create");
    file.write_all(b"before").expect("write");
    fs::remove_file(&path).expect("unlink");
    assert!(!path.exists());
    file.write_all(b" and after").expect("write");
    file.rewind().expect("seek");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert_eq!(text, "before and after");
    let hidden = names(&server.directory.join("d"));
    assert!(
        hidden.len() == 1 && hidden.iter().all(|name| name.starts_with(".nfs")),
        "{hidden:?}"
    );
    // Neither can the hidden name be removed, as long as it is used.
    let name = mounted.join("d").join(hidden.first().expect("one"));
    assert_eq!(
        raw(&fs::remove_file(name).expect_err("busy")),
        Errno::EBUSY as i32
    );
    drop(file);
    // Right after the close, though the kernel tells of it later.
    fs::remove_dir(mounted.join("d")).expect("rmdir");
    mounted.unmount();
    assert_eq!(names(&server.directory), BTreeSet::new());
}

#[test]
fn a_closed_file_is_removed_under_its_own_name() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    for round in 0..200 {
        fs::create_dir(mounted.join("d")).expect("mkdir");
        let path = mounted.join("d/file");
        fs::write(&path, round.to_string()).expect("write");
        fs::remove_file(&path).expect("unlink");
        fs::remove_dir(mounted.join("d")).unwrap_or_else(|error| panic!("{round}: {error}"));
    }
    assert_eq!(
        server.front.calls(super::front::RENAME),
        0,
        "nothing was hidden"
    );
}

#[test]
fn an_open_file_that_is_replaced_can_still_be_read() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("old"), b"old").expect("write");
    fs::write(mounted.join("new"), b"new").expect("write");
    let file = File::open(mounted.join("old")).expect("open");
    fs::rename(mounted.join("new"), mounted.join("old")).expect("rename");
    let mut bytes = [0; 3];
    file.read_exact_at(&mut bytes, 0).expect("read");
    assert_eq!(&bytes, b"old");
    assert_eq!(fs::read(mounted.join("old")).expect("read"), b"new");
    drop(file);
    until("the old file is gone", || {
        names(&server.directory).len() == 1
    });
}

#[test]
fn hidden_files_are_gone_after_a_lazy_unmount() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let file = File::create(mounted.join("file")).expect("create");
    fs::remove_file(mounted.join("file")).expect("unlink");
    assert_eq!(names(&server.directory).len(), 1);
    nix::mount::umount2(mounted.path(), nix::mount::MntFlags::MNT_DETACH).expect("umount");
    drop(file);
    until("the hidden file is gone", || {
        names(&server.directory).is_empty()
    });
}

#[test]
fn a_directory_of_ten_thousand_files_is_made_listed_and_removed() {
    const MANY: usize = 10_000;
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let directory = mounted.join("many");
    fs::create_dir(&directory).expect("mkdir");
    let start = Instant::now();
    for number in 0..1000 {
        File::create(directory.join(format!("file-{number:05}"))).expect("create");
    }
    eprintln!("1000 creates with close: {:?}", start.elapsed());
    for number in 1000..MANY {
        // Behind the server: it is the listing that is looked at.
        let name = format!("many/file-{number:05}");
        File::create(server.directory.join(name)).expect("create");
    }
    let start = Instant::now();
    let listed: Vec<_> = fs::read_dir(&directory)
        .expect("readdir")
        .map(|entry| {
            let entry = entry.expect("entry");
            assert!(entry.file_type().expect("type").is_file());
            entry.file_name().into_string().expect("utf-8")
        })
        .collect();
    eprintln!("listing of {MANY}: {:?}", start.elapsed());
    assert_eq!(listed.len(), MANY, "no name twice, none missing");
    let wanted: BTreeSet<String> = (0..MANY)
        .map(|number| format!("file-{number:05}"))
        .collect();
    assert_eq!(BTreeSet::from_iter(listed), wanted);
    let one = fs::read_dir(&directory)
        .expect("readdir")
        .next()
        .expect("one")
        .expect("entry");
    assert_eq!(one.ino(), one.metadata().expect("stat").ino());
    let start = Instant::now();
    fs::remove_dir_all(&directory).expect("remove");
    eprintln!("removal of {MANY}: {:?}", start.elapsed());
    assert_eq!(names(&server.directory), BTreeSet::new());
}

#[test]
fn names_of_all_scripts_and_bytes_survive() {
    use std::os::unix::ffi::OsStrExt;
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let long = "ß".repeat(127);
    for name in [
        "größe",
        "数据",
        "🦀.txt",
        " blank ",
        "new\nline",
        "e\u{301}",
        "é",
        &long,
    ] {
        fs::write(mounted.join(name), name).expect("write");
        assert_eq!(fs::read_to_string(mounted.join(name)).expect("read"), name);
        assert!(names(mounted.path()).contains(name));
        assert!(server.directory.join(name).exists(), "{name}");
    }
    let bytes = std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe");
    fs::write(mounted.join(bytes), b"x").expect("write");
    assert!(server.directory.join(bytes).exists());
    assert_eq!(fs::read_dir(mounted.path()).expect("readdir").count(), 9);
}

#[test]
fn exactly_one_exclusive_creator_succeeds() {
    need_fuse!();
    let server = Server::new();
    let mounts = [server.mount(""), server.mount("")];
    for round in 0..20 {
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = mounts
                .iter()
                .flat_map(|mounted| [mounted, mounted])
                .map(|mounted| {
                    scope.spawn(move || {
                        OpenOptions::new()
                            .write(true)
                            .create_new(true)
                            .mode(0o640)
                            .open(mounted.join(format!("lock-{round}")))
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("thread"))
                .filter(|made| match made {
                    Ok(_) => true,
                    Err(error) => {
                        assert_eq!(raw(error), Errno::EEXIST as i32);
                        false
                    }
                })
                .count()
        });
        assert_eq!(made, 1, "round {round}");
        let real = fs::metadata(server.directory.join(format!("lock-{round}"))).expect("stat");
        assert_eq!(real.mode() & 0o7777, 0o640);
    }
}

#[test]
fn a_directory_that_another_client_replaced_is_the_new_one() {
    need_fuse!();
    let server = Server::new();
    let (here, there) = (server.mount(""), server.mount(""));
    fs::create_dir(here.join("d")).expect("mkdir");
    fs::write(here.join("d/old"), b"").expect("write");
    assert!(there.join("d/old").exists());
    fs::remove_dir_all(here.join("d")).expect("remove");
    assert!(!there.join("d").exists());
    fs::create_dir(here.join("d")).expect("mkdir");
    fs::write(here.join("d/new"), b"").expect("write");
    assert_eq!(names(&there.join("d")), BTreeSet::from(["new".to_owned()]));
}

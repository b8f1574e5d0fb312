//! Attributes.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, SFlag};

use super::need_fuse;
use super::support::{Server, raw};

#[test]
fn attributes_are_the_servers() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    fs::write(mounted.join("file"), b"hello").expect("write");
    fs::create_dir(mounted.join("directory")).expect("mkdir");
    fs::hard_link(mounted.join("file"), mounted.join("second")).expect("link");
    for name in ["", "file", "directory"] {
        let (seen, real) = (
            fs::metadata(mounted.join(name)).expect("stat"),
            fs::metadata(server.directory.join(name)).expect("stat"),
        );
        assert_eq!(seen.ino(), real.ino(), "{name}");
        assert_eq!(seen.mode(), real.mode(), "{name}");
        assert_eq!(seen.nlink(), real.nlink(), "{name}");
        assert_eq!(seen.size(), real.size(), "{name}");
        assert_eq!(seen.blocks(), real.blocks(), "{name}");
        assert_eq!((seen.uid(), seen.gid()), (real.uid(), real.gid()), "{name}");
        assert_eq!(seen.mtime(), real.mtime(), "{name}");
        assert_eq!(seen.ctime_nsec(), real.ctime_nsec(), "{name}");
    }
    assert_eq!(
        fs::metadata(mounted.join("second")).expect("stat").nlink(),
        2
    );
    mounted.unmount();
}

#[test]
fn inode_numbers_are_the_same_after_another_mount_and_on_another_one() {
    need_fuse!();
    let server = Server::new();
    let first = server.mount("");
    fs::create_dir(first.join("volume")).expect("mkdir");
    let number = fs::metadata(first.join("volume")).expect("stat").ino();
    let second = server.mount("");
    assert_eq!(
        fs::metadata(second.join("volume")).expect("stat").ino(),
        number
    );
    first.unmount();
    let third = server.mount("");
    assert_eq!(
        fs::metadata(third.join("volume")).expect("stat").ino(),
        number
    );
}

#[test]
fn mode_owner_size_and_times_are_changed() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let path = mounted.join("file");
    fs::write(&path, b"0123456789").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).expect("chmod");
    std::os::unix::fs::chown(&path, Some(1234), Some(5678)).expect("chown");
    let real = fs::metadata(server.directory.join("file")).expect("stat");
    assert_eq!((real.uid(), real.gid()), (1234, 5678));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).expect("chmod");
    assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, 0o4751);
    let file = File::options().write(true).open(&path).expect("open");
    file.set_len(4).expect("truncate");
    assert_eq!(fs::read(&path).expect("read"), b"0123");
    file.set_len(6).expect("extend");
    assert_eq!(fs::read(&path).expect("read"), b"0123\0\0");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time))
        .expect("utimens");
    let seen = fs::metadata(&path).expect("stat");
    assert_eq!(
        (seen.mtime(), seen.mtime_nsec()),
        (1_000_000_000, 123_456_789)
    );
    assert_eq!(seen.accessed().expect("atime"), time);
}

#[test]
fn special_files_and_links_are_made() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let mode = Mode::from_bits_truncate(0o640);
    nix::unistd::mkfifo(&mounted.join("fifo"), mode).expect("mkfifo");
    assert!(
        fs::metadata(mounted.join("fifo"))
            .expect("stat")
            .file_type()
            .is_fifo()
    );
    let socket = std::os::unix::net::UnixListener::bind(mounted.join("socket"));
    drop(socket.expect("bind"));
    assert!(
        fs::metadata(mounted.join("socket"))
            .expect("stat")
            .file_type()
            .is_socket()
    );
    nix::sys::stat::mknod(&mounted.join("plain"), SFlag::S_IFREG, mode, 0).expect("mknod");
    assert_eq!(
        fs::metadata(mounted.join("plain")).expect("stat").mode(),
        0o100_640
    );
    std::os::unix::fs::symlink("fifo", mounted.join("link")).expect("symlink");
    assert_eq!(
        fs::read_link(mounted.join("link"))
            .expect("readlink")
            .as_os_str(),
        "fifo"
    );
    assert!(
        fs::symlink_metadata(mounted.join("link"))
            .expect("stat")
            .is_symlink()
    );
    assert!(
        fs::metadata(mounted.join("link"))
            .expect("stat")
            .file_type()
            .is_fifo()
    );
}

#[test]
fn the_room_is_the_servers() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let seen = nix::sys::statvfs::statvfs(mounted.path()).expect("statvfs");
    let real = nix::sys::statvfs::statvfs(&server.directory).expect("statvfs");
    assert_eq!(
        seen.blocks() * seen.fragment_size(),
        real.blocks() * real.fragment_size()
    );
    assert_eq!(seen.files(), real.files());
    assert_eq!(seen.name_max(), 255);
}

#[test]
fn what_the_protocol_lacks_is_refused_as_such() {
    need_fuse!();
    let server = Server::new();
    let mounted = server.mount("");
    let path = mounted.join("file");
    fs::write(&path, b"x").expect("write");
    let file = File::options().write(true).open(&path).expect("open");
    let refused = nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, 100);
    assert_eq!(refused, Err(nix::errno::Errno::EOPNOTSUPP));
    let attribute = std::process::Command::new("python3")
        .arg("-c")
        .arg("import os,sys\ntry:\n os.setxattr(sys.argv[1],'user.a',b'1')\nexcept OSError as e:\n sys.exit(e.errno)")
        .arg(&path)
        .status()
        .expect("python3");
    assert_eq!(attribute.code(), Some(nix::errno::Errno::ENOTSUP as i32));
    let too_long = "x".repeat(300);
    let error = fs::write(mounted.join(too_long), b"").expect_err("too long");
    assert_eq!(raw(&error), nix::errno::Errno::ENAMETOOLONG as i32);
}

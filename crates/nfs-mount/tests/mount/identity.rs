//! Users, groups and supplementary groups.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use super::need_fuse;
use super::support::{Mounted, Server, shell_as};

fn shared() -> (Server, Mounted) {
    let server = Server::new();
    let mounted = server.mount("");
    open_to_all(mounted.path());
    (server, mounted)
}

/// The place of a mount is a private temporary directory until the mount hides it; the root of the
/// export is what counts.
fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn directory(mounted: &Mounted, name: &str, uid: u32, gid: u32, mode: u32) {
    let path = mounted.join(name);
    fs::create_dir(&path).expect("mkdir");
    chown(&path, Some(uid), Some(gid)).expect("chown");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn what_a_user_makes_belongs_to_it() {
    need_fuse!();
    let (server, mounted) = shared();
    directory(&mounted, "own", 1000, 1000, 0o700);
    let place = mounted.join("own").display().to_string();
    let made = shell_as(
        1000,
        1000,
        &[],
        &format!("cd {place} && echo x > f && mkdir d && cat f"),
    );
    assert!(made.status.success(), "{made:?}");
    for name in ["own/f", "own/d"] {
        let real = fs::metadata(server.directory.join(name)).expect("stat");
        assert_eq!((real.uid(), real.gid()), (1000, 1000), "{name}");
    }
    let other = shell_as(1001, 1001, &[], &format!("cat {place}/f"));
    assert!(!other.status.success());
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("Permission denied"),
        "{other:?}"
    );
    let other = shell_as(1001, 1001, &[], &format!("cd {place}"));
    assert!(!other.status.success());
}

#[test]
fn supplementary_groups_open_what_is_theirs() {
    need_fuse!();
    let (server, mounted) = shared();
    directory(&mounted, "team", 0, 4000, 0o2770);
    let script = format!(
        "echo x > {0}/f && cat {0}/f && ls {0}",
        mounted.join("team").display()
    );
    let without = shell_as(1000, 1000, &[], &script);
    assert!(!without.status.success(), "{without:?}");
    let with = shell_as(1000, 1000, &[17, 4000], &script);
    assert!(with.status.success(), "{with:?}");
    let real = fs::metadata(server.directory.join("team/f")).expect("stat");
    assert_eq!(
        (real.uid(), real.gid()),
        (1000, 4000),
        "set-group-id directory"
    );
    // At once after each other, in both directions: nothing is remembered of a caller.
    assert!(!shell_as(1000, 1000, &[], &script).status.success());
    let sixteenth: Vec<u32> = (5001..5016).chain([4000]).collect();
    assert!(shell_as(1000, 1000, &sixteenth, &script).status.success());
}

#[test]
fn a_process_that_changes_its_groups_is_another_caller_at_once() {
    need_fuse!();
    let (_server, mounted) = shared();
    directory(&mounted, "team", 0, 4000, 0o770);
    let script = "import os,sys\n\
        os.setresgid(1000,1000,1000)\n\
        os.setgroups([4000]); os.setresuid(1000,1000,0)\n\
        os.listdir(sys.argv[1])\n\
        os.seteuid(0); os.setgroups([]); os.seteuid(1000)\n\
        try:\n os.listdir(sys.argv[1])\n\
        except PermissionError: sys.exit(0)\n\
        sys.exit('still allowed')";
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(mounted.join("team"))
        .output()
        .expect("python3");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn user_0_is_squashed_by_a_server_that_does_so_and_its_groups_still_count() {
    need_fuse!();
    let server = Server::squashing();
    let mounted = server.mount("");
    for (name, gid, mode) in [("closed", 0, 0o700), ("group", 4000, 0o770)] {
        let path = server.directory.join(name);
        fs::create_dir(&path).expect("mkdir");
        chown(&path, Some(1234), Some(gid)).expect("chown");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    }
    let list = |name: &str, groups: &[u32]| {
        let script = format!("ls {}", mounted.join(name).display());
        shell_as(0, 0, groups, &script).status.success()
    };
    assert!(!list("closed", &[]));
    assert!(!list("group", &[]));
    assert!(list("group", &[4000]));
}

#[test]
fn an_open_file_keeps_the_rights_of_who_opened_it() {
    need_fuse!();
    let (_server, mounted) = shared();
    let path = mounted.join("secret");
    fs::write(&path, b"secret").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    let script = format!(
        "exec setpriv --reuid=1000 --clear-groups cat < {}",
        path.display()
    );
    let read = shell_as(0, 0, &[], &script);
    assert_eq!(read.stdout, b"secret", "{read:?}");
}

#[test]
fn access_is_the_servers_decision() {
    need_fuse!();
    let (_server, mounted) = shared();
    let path = mounted.join("file");
    fs::write(&path, b"x").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    chown(&path, Some(1000), Some(4000)).expect("chown");
    let test = |uid, groups: &[u32], flag: &str| {
        let script = format!("test -{flag} {}", path.display());
        shell_as(uid, uid, groups, &script).status.success()
    };
    assert!(test(1000, &[], "r") && test(1000, &[], "w") && !test(1000, &[], "x"));
    assert!(test(1001, &[4000], "r") && !test(1001, &[4000], "w"));
    assert!(!test(1001, &[], "r"));
}

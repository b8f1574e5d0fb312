//! Owners are right with root and without.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use tempfile::TempDir;

use crate::support::Export;

/// A user that no machine has.
const NOBODY_AT_ALL: u32 = 61_999;

#[tokio::test]
async fn owners_are_on_the_file_system_where_that_is_allowed() {
    let export = Export::start().await;
    let view = export.view();
    view.write("f", b"x").await.unwrap();
    let process = export.local("f").metadata().unwrap().uid();
    view.chown("f", 1000, 100).await.unwrap();
    let told = view.stat("f").await.unwrap().unwrap();
    assert_eq!((told.uid, told.gid), (1000, 100));
    let kept = export.local("f").metadata().unwrap().uid();
    if export.server.keeps_real_owners() {
        assert_eq!(kept, 1000);
    } else {
        assert_eq!(kept, process);
    }
    assert!(process == 0 || !export.server.keeps_real_owners());
}

#[tokio::test]
async fn a_new_file_does_not_inherit_the_owner_of_a_removed_one() {
    let export = Export::start().await;
    let view = export.view();
    for behind in [false, true] {
        view.write("f", b"x").await.unwrap();
        view.chown("f", 1000, 100).await.unwrap();
        if behind {
            fs::remove_file(export.local("f")).unwrap();
        } else {
            view.remove_tree("f").await.unwrap();
        }
        // Most file systems give the inode number to the next file.
        fs::write(export.local("g"), "").unwrap();
        let stat = view.stat("g").await.unwrap().unwrap();
        assert_eq!((stat.uid, stat.gid), (0, 0));
        fs::remove_file(export.local("g")).unwrap();
    }
}

/// As root, the tests of this program show owners on the file system only. So they run once more as
/// a user who may not give files away.
#[test]
fn everything_holds_without_root() {
    let directory = TempDir::new().unwrap();
    if directory.path().metadata().unwrap().uid() != 0 {
        // The whole program runs without root already.
        return;
    }
    let open = |bits| fs::Permissions::from_mode(bits);
    fs::set_permissions(directory.path(), open(0o777)).unwrap();
    let program = directory.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, open(0o755)).unwrap();
    let output = Command::new(&program)
        .args(["--skip", "ten_thousand"])
        .env("TMPDIR", directory.path())
        .current_dir(directory.path())
        .uid(NOBODY_AT_ALL)
        .gid(NOBODY_AT_ALL)
        .output()
        .expect("run the tests as another user");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("test result: ok"), "{text}");
}

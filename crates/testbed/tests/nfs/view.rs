//! The client's view.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use nfs3_types::nfs3::nfsstat3;
use testbed::nfs::{ExportTarget, ExportView, FileKind, ViewError};

use crate::support::Export;

#[tokio::test]
async fn everything_there_is_to_do() {
    let export = Export::start().await;
    let view = export.view();
    view.mkdir("a", 0o750).await.expect("a directory");
    view.mkdir("a/b c", 0o777).await.expect("a directory");
    view.write("a/f", b"first and long").await.expect("written");
    view.write("a/f", b"second").await.expect("written over");
    assert_eq!(view.read("a/f").await.expect("content"), b"second");
    view.link("a/f", "a/hard").await.expect("linked");
    view.symlink("a/soft", "../nowhere").await.expect("linked");
    assert_eq!(
        view.read_link("a/soft").await.expect("a target"),
        "../nowhere"
    );
    view.chown("a/f", 1000, 100).await.expect("given");
    view.chmod("a/f", 0o4755).await.expect("a mode");
    view.rename("a/b c", "a/d").await.expect("renamed");
    assert_eq!(
        view.list("a").await.expect("names"),
        ["d", "f", "hard", "soft"]
    );
    assert_eq!(view.list("").await.expect("names"), ["a"]);

    let stat = view.stat("a/f").await.expect("an answer").expect("a file");
    assert_eq!(
        (stat.kind, stat.mode, stat.size),
        (FileKind::File, 0o4755, 6)
    );
    assert_eq!((stat.uid, stat.gid, stat.nlink), (1000, 100, 2));
    assert_eq!(stat.fileid, export.local("a/f").metadata().unwrap().ino());
    let stat = view.stat("a/soft").await.unwrap().expect("a link");
    assert_eq!(stat.kind, FileKind::Symlink);
    let stat = view.stat("").await.unwrap().expect("the root");
    assert_eq!(stat.kind, FileKind::Directory);
    for missing in ["x", "a/x", "x/y", "a/f/x"] {
        assert_eq!(
            view.stat(missing).await.expect("an answer"),
            None,
            "{missing}"
        );
    }
}

#[tokio::test]
async fn large_files_go_in_several_calls() {
    let export = Export::start().await;
    let view = export.view();
    let content: Vec<u8> = (0..3_000_000u32).map(|byte| (byte % 253) as u8).collect();
    view.write("big", &content).await.expect("written");
    assert!(view.read("big").await.expect("content") == content);
    assert!(fs::read(export.local("big")).unwrap() == content);
}

#[tokio::test]
async fn both_sides_tell_the_same_tree() {
    let export = Export::start().await;
    let view = export.view();
    view.mkdir("v", 0o770).await.unwrap();
    view.mkdir("v/ünï", 0o2755).await.unwrap();
    view.write("v/ünï/f", b"content").await.unwrap();
    view.write("v/empty", b"").await.unwrap();
    view.symlink("v/s", "ünï/f").await.unwrap();
    let remote = view.manifest("v").await.expect("a manifest");
    let paths: Vec<&str> = remote
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    assert_eq!(paths, ["", "empty", "s", "ünï", "ünï/f"]);
    assert_eq!(
        remote
            .get("ünï/f")
            .and_then(|entry| entry.sha256.as_deref()),
        // The digest of "content".
        Some("ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73")
    );
    assert_eq!(
        remote.get("s").and_then(|entry| entry.target.as_deref()),
        Some("ünï/f")
    );
    let local = view.local_manifest("v").expect("read").expect("there");
    assert_eq!(remote.differences(&local), Vec::<String>::new());

    fs::write(export.local("v/empty"), "no longer").unwrap();
    fs::set_permissions(export.local("v/ünï"), fs::Permissions::from_mode(0o700)).unwrap();
    let local = view.local_manifest("v").unwrap().unwrap();
    assert_eq!(
        remote.differences(&local),
        [
            "\"empty\": 0 bytes against 9",
            "\"ünï\": mode 2755 against 0700"
        ]
    );
    assert_eq!(view.local_manifest("gone").expect("an answer"), None);
    let error = view.manifest("gone").await.expect_err("nothing there");
    assert!(error.is_missing(), "{error}");
}

#[tokio::test]
async fn trees_are_removed_without_following_links() {
    let export = Export::start().await;
    let outside = export.outside();
    fs::write(outside.path().join("kept"), "").unwrap();
    fs::create_dir_all(export.local("tree/a/b/c")).unwrap();
    fs::write(export.local("tree/a/b/f"), "x").unwrap();
    fs::create_dir(export.local("neighbour")).unwrap();
    fs::write(export.local("neighbour/kept"), "").unwrap();
    symlink(outside.path(), export.local("tree/a/out")).unwrap();
    symlink("../neighbour", export.local("tree/beside")).unwrap();
    let view = export.view();
    view.remove_tree("tree").await.expect("removed");
    assert_eq!(view.local_exists("tree"), Some(false));
    assert!(outside.path().join("kept").exists());
    assert_eq!(view.local_exists("neighbour/kept"), Some(true));
    view.remove_tree("tree").await.expect("nothing to do");
    view.remove_tree("no/such/tree")
        .await
        .expect("nothing to do");
    symlink("neighbour", export.local("link")).unwrap();
    view.remove_tree("link").await.expect("removed");
    assert_eq!(view.list("").await.unwrap(), ["neighbour"]);
}

#[tokio::test]
async fn users_are_held_to_the_modes() {
    let export = Export::start().await;
    let view = export.view();
    view.chmod("", 0o755).await.unwrap();
    view.mkdir("open", 0o777).await.unwrap();
    view.write("open/private", b"x").await.unwrap();
    view.chmod("open/private", 0o600).await.unwrap();
    let user = view.as_user(1000, 1000, vec![2000]);
    let error = user.read("open/private").await.expect_err("denied");
    assert!(error.is_permission_denied(), "{error}");
    let error = user.write("open/private", b"y").await.expect_err("denied");
    assert_eq!(error.status(), Some(nfsstat3::NFS3ERR_ACCES));
    let error = user.mkdir("mine", 0o755).await.expect_err("denied");
    assert!(error.is_permission_denied(), "{error}");
    user.write("open/own", b"x").await.expect("written");
    let stat = view.stat("open/own").await.unwrap().unwrap();
    assert_eq!((stat.uid, stat.gid), (1000, 1000));
    // As a mounting kernel has it, an owner's own mode bits count when a file is opened.
    user.chmod("open/own", 0o000).await.expect("its own");
    assert!(
        user.read("open/own")
            .await
            .expect_err("denied")
            .is_permission_denied()
    );
    let group = view.as_user(3000, 3000, vec![2000]);
    view.chown("open/own", 1000, 2000).await.unwrap();
    view.chmod("open/own", 0o040).await.unwrap();
    assert_eq!(group.read("open/own").await.expect("by its group"), b"x");
}

#[tokio::test]
async fn a_server_that_starts_again_is_found_again() {
    let export = Export::start().await;
    let view = export.view();
    view.write("f", b"x").await.unwrap();
    let export = export.restart().await;
    // A change first: nothing may be lost on the old connection.
    view.mkdir("d", 0o755).await.expect("over a new connection");
    assert_eq!(view.read("f").await.expect("content"), b"x");
    assert!(export.local("d").is_dir());
}

#[tokio::test]
async fn errors_name_what_they_are_about() {
    let export = Export::start().await;
    let view = export.view();
    for path in ["..", "a/../b", "./a", "a\0b"] {
        let error = view.stat(path).await.expect_err("no path");
        assert!(matches!(error, ViewError::Path { .. }), "{error}");
        assert!(view.local_manifest(path).is_err());
        assert_eq!(view.local_exists(path), None);
    }
    let error = view.mkdir("", 0o755).await.expect_err("the root");
    assert!(matches!(error, ViewError::Root { .. }), "{error}");
    let error = view.read("gone").await.expect_err("missing");
    let expected = format!(
        "LOOKUP \"gone\" on export 127.0.0.1:{}:/export: NFS3ERR_NOENT",
        export.server.port()
    );
    assert_eq!(error.to_string(), expected);
    let error = view.list("gone").await.expect_err("missing");
    assert!(error.is_missing());

    let elsewhere = ExportTarget {
        path: "/other".to_owned(),
        directory: None,
        ..export.server.info()
    };
    let elsewhere = ExportView::new(elsewhere);
    let error = elsewhere.stat("").await.expect_err("not exported");
    assert!(matches!(error, ViewError::Mount { .. }), "{error}");
    assert_eq!(elsewhere.local_exists(""), None);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let view = ExportView::new(ExportTarget {
        host: "localhost".to_owned(),
        port: silent.local_addr().unwrap().port(),
        mount_port: silent.local_addr().unwrap().port(),
        path: "/export".to_owned(),
        directory: None,
    })
    .with_limit(Duration::from_millis(200));
    let error = view.stat("").await.expect_err("silence");
    assert!(matches!(error, ViewError::Timeout { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_share_a_connection() {
    let export = Export::start().await;
    let view = export.view();
    let tasks: Vec<_> = (0..20)
        .map(|index| {
            let view = view.clone();
            tokio::spawn(async move { view.mkdir(&format!("d{index}"), 0o755).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().expect("a directory");
    }
    assert_eq!(view.list("").await.unwrap().len(), 20);
}

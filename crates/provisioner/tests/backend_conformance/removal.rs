//! Trees: large, deep, interrupted.

use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use provisioner::backend::Cause;
use rstest::rstest;

use crate::subject::{Kind, LIMIT, Subject, path, refused};

#[rstest]
#[tokio::test]
async fn everything_goes_but_nothing_else(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("keep/sub");
    subject.make("volume/a/b/c");
    subject.make("volume/empty");
    subject.write("volume/a/b/file", "");
    subject.link(subject.outside(), "volume/a/away");
    subject.link(subject.outside().join("file"), "volume/file-away");
    subject.link("../keep", "volume/a/relative");
    subject.link("nowhere", "volume/dangling");
    nix::unistd::mkfifo(&subject.at("volume/a/pipe"), Mode::S_IRWXU).unwrap();
    std::os::unix::net::UnixListener::bind(subject.at("volume/socket")).unwrap();
    std::fs::hard_link(subject.at("volume/a/b/file"), subject.at("keep/same")).unwrap();
    let before = subject.outside_now();
    subject
        .backend
        .remove_tree(&path("volume"), LIMIT)
        .await
        .unwrap();
    assert!(!subject.exists("volume"));
    assert!(subject.exists("keep/sub") && subject.exists("keep/same"));
    assert_eq!(subject.outside_now(), before);
    // Again, and where the parent is missing too: done already.
    subject
        .backend
        .remove_tree(&path("volume"), LIMIT)
        .await
        .unwrap();
    subject
        .backend
        .remove_tree(&path("none/volume"), LIMIT)
        .await
        .unwrap();
}

#[rstest]
#[tokio::test]
async fn what_is_no_tree_stays(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.write("file", "");
    let result = subject.backend.remove_tree(&path("file"), LIMIT).await;
    assert_eq!(refused(result), Cause::NotADirectory);
    let result = subject.backend.remove_tree(&path(""), LIMIT).await;
    assert_eq!(refused(result), Cause::PermissionDenied);
    assert!(subject.exists("file"));
}

#[rstest]
#[tokio::test]
async fn a_removal_that_was_interrupted_is_taken_up(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    let mut files = 0;
    for directory in 0..20 {
        subject.make(&format!("volume/dir-{directory}"));
        for file in 0..150 {
            subject.write(&format!("volume/dir-{directory}/file-{file}"), "");
            files += 1;
        }
    }
    let left = || {
        let directories = std::fs::read_dir(subject.at("volume"))
            .into_iter()
            .flatten();
        directories
            .map(|entry| {
                std::fs::read_dir(entry.unwrap().path())
                    .into_iter()
                    .flatten()
                    .count()
            })
            .sum::<usize>()
    };
    // Interrupted as soon as something is gone, and several times.
    let mut before = files;
    for _ in 0..3 {
        let backend = Arc::clone(&subject.backend);
        let task = tokio::spawn(async move { backend.remove_tree(&path("volume"), LIMIT).await });
        while left() == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task.abort();
        let _ = task.await;
        before = left();
    }
    subject
        .backend
        .remove_tree(&path("volume"), LIMIT)
        .await
        .unwrap();
    assert!(!subject.exists("volume"));
}

#[rstest]
#[case(Kind::Mount, 2100)]
#[case(Kind::Direct, 300)]
#[tokio::test]
async fn a_tree_deeper_than_paths_are_long(#[case] kind: Kind, #[case] depth: usize) {
    let subject = Subject::new(kind).await;
    subject.make("volume");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let mut current = nix::fcntl::open(&subject.at("volume"), flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        nix::sys::stat::mkdirat(&current, "d", Mode::S_IRWXU).unwrap();
        current = nix::fcntl::openat(&current, "d", flags, Mode::empty()).unwrap();
    }
    drop(current);
    subject
        .backend
        .remove_tree(&path("volume"), LIMIT)
        .await
        .unwrap();
    assert!(!subject.exists("volume"));
}

/// Somebody keeps writing: the removal gives up after its stall limit and says so, and the rest
/// goes once they stop.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_waited_for(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("volume/a");
    subject.write("volume/a/file", "");
    let backend = Arc::clone(&subject.backend);
    let removal = tokio::spawn(async move { backend.remove_tree(&path("volume"), LIMIT).await });
    // New entries for a while, as a client that has not noticed yet would make them.
    for number in 0..200 {
        if std::fs::write(subject.at(&format!("volume/a/late-{number}")), "").is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    removal.await.unwrap().unwrap();
    assert!(!subject.exists("volume"));
}

#[rstest]
#[tokio::test]
async fn names_that_are_not_utf_8(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    use std::os::unix::ffi::OsStrExt;

    let subject = Subject::new(kind).await;
    subject.make("volume/a");
    subject.write("volume/b", "");
    let odd = subject
        .at("volume/a")
        .join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    std::fs::write(&odd, "").unwrap();
    let result = subject.backend.remove_tree(&path("volume"), LIMIT).await;
    assert!(!subject.exists("volume/b"));
    match kind {
        Kind::Mount => {
            result.unwrap();
            assert!(!subject.exists("volume"));
        }
        // The client crate cannot send such a name back. It must be said, and at once.
        Kind::Direct => {
            let error = result.unwrap_err();
            assert!(error.to_string().contains("not UTF-8"), "{error}");
            assert!(odd.exists());
        }
    }
}

//! A symbolic link planted at every level of a path: no call goes through it.

use provisioner::backend::{Attributes, Cause};
use rstest::rstest;

use crate::subject::{Kind, LIMIT, Subject, path, refused};

/// What lies outside has the same names, so that a call that follows the link would succeed.
const LEVELS: [(&str, &str); 3] = [("a", ""), ("a/b", "b"), ("a/b/c", "b/c")];

async fn planted(kind: Kind, level: usize) -> Subject {
    let subject = Subject::new(kind).await;
    std::fs::create_dir_all(subject.outside().join("b/c/dir/sub")).unwrap();
    std::fs::write(subject.outside().join("b/c/file"), "precious").unwrap();
    let (link, target) = LEVELS[level];
    if let Some((parent, _)) = link.rsplit_once('/') {
        subject.make(parent);
    }
    subject.link(subject.outside().join(target), link);
    subject.make("source");
    subject
}

#[rstest]
#[tokio::test]
async fn no_call_goes_through_a_link(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[values(0, 1, 2)] level: usize,
) {
    let subject = planted(kind, level).await;
    let (outside, inside) = (subject.outside_now(), subject.inside_now());
    let backend = &subject.backend;
    let (new, dir, file) = (path("a/b/c/new"), path("a/b/c/dir"), path("a/b/c/file"));
    let mode = Attributes {
        mode: Some(0),
        ..Attributes::default()
    };
    let source = path("source");

    let causes = [
        ("stat", refused(backend.stat(&dir, LIMIT).await)),
        ("list", refused(backend.list(&dir, LIMIT).await)),
        (
            "mkdir",
            refused(backend.make_directory(&new, 0o777, LIMIT).await),
        ),
        (
            "setattr",
            refused(backend.set_attributes(&dir, mode, LIMIT).await),
        ),
        (
            "rename to",
            refused(backend.rename_directory(&source, &new, LIMIT).await),
        ),
        (
            "rename from",
            refused(backend.rename_directory(&dir, &path("x"), LIMIT).await),
        ),
        (
            "rmdir",
            refused(
                backend
                    .remove_directory(&path("a/b/c/dir/sub"), LIMIT)
                    .await,
            ),
        ),
        (
            "remove tree",
            refused(backend.remove_tree(&dir, LIMIT).await),
        ),
        ("read", refused(backend.read_file(&file, LIMIT).await)),
        (
            "write",
            refused(backend.write_file(&file, b"evil", LIMIT).await),
        ),
        ("unlink", refused(backend.remove_file(&file, LIMIT).await)),
    ];
    for (call, cause) in causes {
        assert_eq!(cause, Cause::NotADirectory, "{call}");
    }
    assert_eq!(
        subject.outside_now(),
        outside,
        "nothing outside was touched"
    );
    assert_eq!(subject.inside_now(), inside, "nothing was left behind");
}

#[rstest]
#[tokio::test]
async fn a_tree_that_is_a_link_is_not_removed(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.link(subject.outside(), "volume");
    let before = subject.outside_now();
    let result = subject.backend.remove_tree(&path("volume"), LIMIT).await;
    assert_eq!(refused(result), Cause::NotADirectory);
    assert_eq!(subject.outside_now(), before);
    assert!(subject.exists("volume"));
}

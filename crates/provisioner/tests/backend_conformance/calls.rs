//! Every call: what it does, and what it refuses.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use futures::future::join_all;
use provisioner::backend::{Attributes, Cause, FILE_MAX, Kind as What, is_temporary};
use rstest::rstest;
use testbed::nfs::embedded::Procedure;

use crate::subject::{Kind, LIMIT, Subject, path, refused};

#[rstest]
#[tokio::test]
async fn stat_tells_what_is_there(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("dir/sub");
    subject.write("dir/file", "12345");
    subject.link("/nowhere", "dir/link");
    let stat = async |text: &str| subject.backend.stat(&path(text), LIMIT).await.unwrap();

    assert_eq!(stat("").await.unwrap().kind, What::Directory);
    assert_eq!(stat("dir/sub").await.unwrap().kind, What::Directory);
    let file = stat("dir/file").await.unwrap();
    assert_eq!((file.kind, file.size), (What::File, 5));
    assert_eq!(
        file.mode,
        subject.at("dir/file").metadata().unwrap().mode() & 0o7777
    );
    assert_eq!(
        file.identity.fileid,
        subject.at("dir/file").metadata().unwrap().ino()
    );
    let link = stat("dir/link").await.unwrap();
    assert_eq!(link.kind, What::Symlink);
    assert_eq!(link.identity.fsid, file.identity.fsid);
    assert_ne!(link.identity, file.identity);

    assert_eq!(stat("dir/none").await, None);
    assert_eq!(stat("none/below/deep").await, None);
}

#[rstest]
#[case("file/below")]
#[case("link/below")]
#[case("dir/link/below/deep")]
#[tokio::test]
async fn a_parent_that_is_no_directory_is_told(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[case] text: &str,
) {
    let subject = Subject::new(kind).await;
    subject.make("dir");
    subject.write("file", "");
    subject.link("dir", "link");
    subject.link(subject.outside(), "dir/link");
    let result = subject.backend.stat(&path(text), LIMIT).await;
    assert_eq!(refused(result), Cause::NotADirectory);
}

#[rstest]
#[tokio::test]
async fn list_gives_every_entry_once(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("dir/sub");
    for number in 0..2000 {
        subject.write(&format!("dir/file-{number}"), "");
    }
    subject.link("sub", "dir/link");
    subject.write("dir/Grüße ✓", "");
    let mut entries = subject.backend.list(&path("dir"), LIMIT).await.unwrap();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries.dedup_by(|one, other| one.name == other.name);
    assert_eq!(entries.len(), 2003);
    let kind_of = |name: &str| {
        entries
            .iter()
            .find(|entry| entry.name == name)
            .unwrap()
            .stat
            .kind
    };
    assert_eq!(kind_of("sub"), What::Directory);
    assert_eq!(kind_of("link"), What::Symlink);
    assert_eq!(kind_of("file-1999"), What::File);
    assert_eq!(kind_of("Grüße ✓"), What::File);

    assert_eq!(
        subject.backend.list(&path("dir/sub"), LIMIT).await.unwrap(),
        []
    );
    assert_eq!(
        subject.backend.list(&path(""), LIMIT).await.unwrap().len(),
        1
    );
    assert_eq!(
        refused(subject.backend.list(&path("none"), LIMIT).await),
        Cause::NotFound
    );
    let file = subject.backend.list(&path("dir/file-0"), LIMIT).await;
    assert_eq!(refused(file), Cause::NotADirectory);
    let link = subject.backend.list(&path("dir/link"), LIMIT).await;
    assert_eq!(refused(link), Cause::NotADirectory);
}

#[rstest]
#[case(0o777)]
#[case(0o700)]
#[case(0o2775)]
#[case(0o1777)]
#[tokio::test]
async fn a_directory_has_exactly_the_mode_asked_for(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[case] mode: u32,
) {
    let subject = Subject::new(kind).await;
    let made = subject
        .backend
        .make_directory(&path("new"), mode, LIMIT)
        .await
        .unwrap();
    let found = subject
        .backend
        .stat(&path("new"), LIMIT)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.identity, found.kind, found.mode),
        (made, What::Directory, mode)
    );
    assert_eq!(subject.at("new").metadata().unwrap().mode() & 0o7777, mode);
}

#[rstest]
#[tokio::test]
async fn one_of_many_makes_a_directory(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    for round in 0..10 {
        let target = path(&format!("new-{round}"));
        let tries = (0..8).map(|_| {
            let (backend, target) = (Arc::clone(&subject.backend), target.clone());
            tokio::spawn(async move { backend.make_directory(&target, 0o777, LIMIT).await })
        });
        let results: Vec<_> = join_all(tries)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let made = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(made, 1, "{results:?}");
        for result in results.into_iter().filter(Result::is_err) {
            assert_eq!(refused(result), Cause::AlreadyExists);
        }
    }
}

#[rstest]
#[tokio::test]
async fn a_name_that_is_taken_makes_no_directory(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[values("dir", "file", "dangling", "away")] name: &str,
) {
    let subject = Subject::new(kind).await;
    subject.make("dir");
    subject.write("file", "mine");
    subject.link("nowhere", "dangling");
    subject.link(subject.outside(), "away");
    let before = subject.inside_now();
    let result = subject
        .backend
        .make_directory(&path(name), 0o777, LIMIT)
        .await;
    assert_eq!(refused(result), Cause::AlreadyExists);
    assert_eq!(subject.inside_now(), before);
}

#[rstest]
#[tokio::test]
async fn a_directory_needs_its_parent(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    let result = subject
        .backend
        .make_directory(&path("none/new"), 0o777, LIMIT)
        .await;
    assert_eq!(refused(result), Cause::NotFound);
    let result = subject
        .backend
        .make_directory(&path(""), 0o777, LIMIT)
        .await;
    assert_eq!(refused(result), Cause::PermissionDenied);
}

#[rstest]
#[tokio::test]
async fn attributes_are_set_together_and_alone(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("dir");
    // Only root gives directories away; a server without that right keeps owners itself.
    let chown = kind == Kind::Direct || nix::unistd::geteuid().is_root();
    let (uid, gid) = if chown {
        (1234, 567)
    } else {
        (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        )
    };
    let set = async |mode, uid, gid| {
        let attributes = Attributes { mode, uid, gid };
        subject
            .backend
            .set_attributes(&path("dir"), attributes, LIMIT)
            .await
            .unwrap();
        let stat = subject
            .backend
            .stat(&path("dir"), LIMIT)
            .await
            .unwrap()
            .unwrap();
        (stat.mode, stat.uid, stat.gid)
    };
    assert_eq!(
        set(Some(0o2770), Some(uid), Some(gid)).await,
        (0o2770, uid, gid)
    );
    assert_eq!(set(Some(0o700), None, None).await, (0o700, uid, gid));
    assert_eq!(set(None, None, None).await, (0o700, uid, gid));

    let none = subject
        .backend
        .set_attributes(&path("none"), Attributes::default(), LIMIT)
        .await;
    assert_eq!(refused(none), Cause::NotFound);
}

#[rstest]
#[tokio::test]
async fn attributes_of_a_link_target_are_never_set(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    subject.link(subject.outside().join("below"), "link");
    let before = subject.outside_now();
    let attributes = Attributes {
        mode: Some(0o777),
        uid: Some(1),
        gid: Some(1),
    };
    let result = subject
        .backend
        .set_attributes(&path("link"), attributes, LIMIT)
        .await;
    assert_eq!(refused(result), Cause::NotADirectory);
    assert_eq!(subject.outside_now(), before);
}

#[rstest]
#[tokio::test]
async fn only_an_empty_directory_is_removed(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("empty");
    subject.make("full/sub");
    subject.write("file", "");
    subject.link("full", "link");
    subject
        .backend
        .remove_directory(&path("empty"), LIMIT)
        .await
        .unwrap();
    assert!(!subject.exists("empty"));
    for (text, cause) in [
        ("empty", Cause::NotFound),
        ("full", Cause::NotEmpty),
        ("file", Cause::NotADirectory),
        ("link", Cause::NotADirectory),
        ("", Cause::PermissionDenied),
    ] {
        let result = subject.backend.remove_directory(&path(text), LIMIT).await;
        assert_eq!(refused(result), cause, "{text}");
    }
    assert!(subject.exists("full/sub") && subject.exists("file") && subject.exists("link"));
}

#[rstest]
#[tokio::test]
async fn a_file_is_written_whole_and_replaced_whole(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    subject.make("dir");
    let record = path("dir/record");
    assert_eq!(
        subject.backend.read_file(&record, LIMIT).await.unwrap(),
        None
    );
    assert_eq!(
        subject
            .backend
            .read_file(&path("none/record"), LIMIT)
            .await
            .unwrap(),
        None
    );

    for content in [vec![b'x'; FILE_MAX], b"second".to_vec(), Vec::new()] {
        subject
            .backend
            .write_file(&record, &content, LIMIT)
            .await
            .unwrap();
        assert_eq!(
            subject.backend.read_file(&record, LIMIT).await.unwrap(),
            Some(content.clone())
        );
        assert_eq!(std::fs::read(subject.at("dir/record")).unwrap(), content);
    }
    let entries = subject.backend.list(&path("dir"), LIMIT).await.unwrap();
    assert_eq!(
        entries.len(),
        1,
        "no temporary file stays behind: {entries:?}"
    );
    assert_eq!(entries[0].stat.mode, 0o600);

    let result = subject
        .backend
        .write_file(&path("none/record"), b"", LIMIT)
        .await;
    assert_eq!(refused(result), Cause::NotFound);
}

#[rstest]
#[tokio::test]
async fn a_file_is_small(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    std::fs::write(subject.at("big"), vec![0; FILE_MAX + 1]).unwrap();
    let result = subject.backend.read_file(&path("big"), LIMIT).await;
    assert_eq!(refused(result), Cause::Io);
    let result = subject
        .backend
        .write_file(&path("new"), &vec![0; FILE_MAX + 1], LIMIT)
        .await;
    assert_eq!(refused(result), Cause::Io);
    assert!(!subject.exists("new"));
}

#[rstest]
#[tokio::test]
async fn a_link_is_neither_read_nor_written_through(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    subject.link(subject.outside().join("file"), "link");
    let before = subject.outside_now();
    let result = subject.backend.read_file(&path("link"), LIMIT).await;
    assert_eq!(refused(result), Cause::Io);
    subject
        .backend
        .write_file(&path("link"), b"mine", LIMIT)
        .await
        .unwrap();
    assert_eq!(subject.outside_now(), before);
    assert!(
        subject.at("link").symlink_metadata().unwrap().is_file(),
        "the link was replaced"
    );
}

#[rstest]
#[tokio::test]
async fn a_directory_is_no_file(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    subject.make("dir");
    assert_eq!(
        refused(subject.backend.read_file(&path("dir"), LIMIT).await),
        Cause::Io
    );
    assert_eq!(
        refused(subject.backend.remove_file(&path("dir"), LIMIT).await),
        Cause::Io
    );
    if let Some(export) = &subject.export {
        // Some servers remove directories with REMOVE, so it is never sent for one.
        assert_eq!(export.calls(Procedure::NFSPROC3_REMOVE), 0);
    }
    subject
        .backend
        .write_file(&path("dir"), b"x", LIMIT)
        .await
        .unwrap_err();
    assert!(subject.at("dir").is_dir());
    let left = std::fs::read_dir(subject.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| is_temporary(name.to_str().unwrap()))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[rstest]
#[tokio::test]
async fn a_file_is_removed_once_and_a_link_by_itself(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    subject.write("file", "");
    subject.link(subject.outside().join("file"), "link");
    let before = subject.outside_now();
    for text in ["file", "file", "link", "none/file"] {
        subject
            .backend
            .remove_file(&path(text), LIMIT)
            .await
            .unwrap();
    }
    assert!(!subject.exists("file") && !subject.exists("link"));
    assert_eq!(subject.outside_now(), before);
}

#[rstest]
#[tokio::test]
async fn room_is_what_the_file_system_has(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    let space = subject.backend.space(LIMIT).await.unwrap();
    let told = nix::sys::statvfs::statvfs(subject.root()).unwrap();
    let free = told.blocks_available() * told.fragment_size();
    // Others write to the same disk meanwhile.
    assert!(
        space.bytes_free.abs_diff(free) < free / 10 + (1 << 26),
        "{space:?}, {free} free"
    );
    assert!(space.inodes_free > 0);
}

#[rstest]
#[tokio::test]
async fn many_calls_at_once_do_not_get_mixed_up(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    let tasks = (0..64).map(|number| {
        let backend = Arc::clone(&subject.backend);
        tokio::spawn(async move {
            let directory = path(&format!("volume-{number}"));
            let made = backend
                .make_directory(&directory, 0o777, LIMIT)
                .await
                .unwrap();
            let record = path(&format!("volume-{number}/record"));
            let content = format!("content of {number}");
            backend
                .write_file(&record, content.as_bytes(), LIMIT)
                .await
                .unwrap();
            let read = backend.read_file(&record, LIMIT).await.unwrap().unwrap();
            assert_eq!(read, content.as_bytes());
            let stat = backend.stat(&directory, LIMIT).await.unwrap().unwrap();
            assert_eq!(stat.identity, made);
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
}

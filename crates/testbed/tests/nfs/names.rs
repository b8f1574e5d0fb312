//! Names come, go and move.

use nfs3_types::nfs3::*;

use crate::support::{Export, some};

#[tokio::test]
async fn names_in_any_script() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let names = [
        "a b",
        "grün",
        "日本語",
        "…\u{301}",
        "-rf",
        "per%cent",
        "quo\"te",
        "new\nline",
    ];
    for name in names {
        client.mkdir(&top, name, 0o755).await.expect(name);
        assert!(export.local(name).is_dir());
    }
    let mut expected: Vec<String> = names.map(str::to_owned).to_vec();
    expected.sort_unstable();
    assert_eq!(client.names(&top).await, expected);
}

#[tokio::test]
async fn names_that_are_none() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    for name in ["a/b", "/", "../x", ""] {
        assert_eq!(
            client.mkdir(&top, name, 0o755).await,
            Err(nfsstat3::NFS3ERR_INVAL),
            "{name:?}"
        );
    }
    for name in [".", ".."] {
        assert_eq!(
            client.mkdir(&top, name, 0o755).await,
            Err(nfsstat3::NFS3ERR_EXIST)
        );
        assert_eq!(
            client.remove(&top, name).await.err(),
            Some(nfsstat3::NFS3ERR_INVAL)
        );
    }
    assert_eq!(
        client.rmdir(&top, ".").await.err(),
        Some(nfsstat3::NFS3ERR_INVAL)
    );
    assert_eq!(
        client.rmdir(&top, "..").await.err(),
        Some(nfsstat3::NFS3ERR_EXIST)
    );
    let long = "x".repeat(256);
    assert_eq!(
        client.create(&top, &long, 0o600).await,
        Err(nfsstat3::NFS3ERR_NAMETOOLONG)
    );
    client
        .create(&top, &long[..255], 0o600)
        .await
        .expect("the longest name");
}

#[tokio::test]
async fn the_way_up_ends_at_the_root() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let a = client.mkdir(&top, "a", 0o755).await.expect("a directory");
    let b = client.mkdir(&a, "b", 0o755).await.expect("a directory");
    assert_eq!(client.lookup(&b, ".").await, Ok(b.clone()));
    assert_eq!(client.lookup(&b, "..").await, Ok(a.clone()));
    assert_eq!(client.lookup(&a, "..").await, Ok(top.clone()));
    assert_eq!(client.lookup(&top, "..").await, Ok(top.clone()));
}

#[tokio::test]
async fn files_and_directories_go_by_their_own_calls() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let dir = client.mkdir(&top, "d", 0o755).await.expect("a directory");
    client.create(&dir, "f", 0o644).await.expect("a file");
    assert_eq!(
        client.remove(&top, "d").await.err(),
        Some(nfsstat3::NFS3ERR_ISDIR)
    );
    assert_eq!(
        client.rmdir(&dir, "f").await.err(),
        Some(nfsstat3::NFS3ERR_NOTDIR)
    );
    assert_eq!(
        client.rmdir(&top, "d").await.err(),
        Some(nfsstat3::NFS3ERR_NOTEMPTY)
    );
    let wcc = client.remove(&dir, "f").await.expect("removed");
    let (before, after) = (some(wcc.before), some(wcc.after));
    assert!(before.is_some() && after.is_some_and(|dir| dir.type_ == ftype3::NF3DIR));
    client.rmdir(&top, "d").await.expect("removed");
    assert_eq!(
        client.rmdir(&top, "d").await.err(),
        Some(nfsstat3::NFS3ERR_NOENT)
    );
    assert!(!export.local("d").exists());
}

#[tokio::test]
async fn renames_replace_only_what_fits() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let full = client.mkdir(&top, "full", 0o755).await.unwrap();
    client.create(&full, "f", 0o644).await.unwrap();
    client.mkdir(&top, "empty", 0o755).await.unwrap();
    let dir = client.mkdir(&top, "dir", 0o755).await.unwrap();
    let file = client.create(&top, "file", 0o644).await.unwrap();
    let other = client.create(&top, "other", 0o644).await.unwrap();

    for (old, new, expected) in [
        ("dir", "full", nfsstat3::NFS3ERR_NOTEMPTY),
        ("dir", "file", nfsstat3::NFS3ERR_NOTDIR),
        ("file", "dir", nfsstat3::NFS3ERR_ISDIR),
        ("gone", "new", nfsstat3::NFS3ERR_NOENT),
        ("file", "..", nfsstat3::NFS3ERR_INVAL),
    ] {
        assert_eq!(
            client.rename((&top, old), (&top, new)).await,
            Err(expected),
            "{old} to {new}"
        );
    }
    assert_eq!(
        client.rename((&top, "full"), (&full, "inside")).await,
        Err(nfsstat3::NFS3ERR_INVAL)
    );
    client
        .rename((&top, "dir"), (&top, "empty"))
        .await
        .expect("over an empty one");
    assert_eq!(client.lookup(&top, "empty").await, Ok(dir.clone()));
    client
        .rename((&top, "file"), (&top, "other"))
        .await
        .expect("over a file");
    assert_eq!(client.lookup(&top, "other").await, Ok(file.clone()));
    assert_eq!(
        client.getattr(&other).await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
    client
        .rename((&top, "other"), (&dir, "moved"))
        .await
        .expect("to a directory");
    assert_eq!(client.lookup(&dir, "moved").await, Ok(file));
    assert_eq!(client.names(&top).await, ["empty", "full"]);
}

#[tokio::test]
async fn hard_links_are_one_object() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let dir = client.mkdir(&top, "d", 0o755).await.unwrap();
    let file = client.create(&top, "a", 0o644).await.unwrap();
    assert_eq!(
        client.link(&file, &dir, "b").await.expect("linked").nlink,
        2
    );
    assert_eq!(client.lookup(&dir, "b").await, Ok(file.clone()));
    assert_eq!(
        client.link(&file, &dir, "b").await.err(),
        Some(nfsstat3::NFS3ERR_EXIST)
    );
    assert_eq!(
        client.link(&dir, &top, "dd").await.err(),
        Some(nfsstat3::NFS3ERR_ISDIR)
    );
    // Moving one name over the other of the same object does nothing (POSIX rename).
    client
        .rename((&top, "a"), (&dir, "b"))
        .await
        .expect("no change");
    assert_eq!(client.getattr(&file).await.unwrap().nlink, 2);
    client.remove(&top, "a").await.expect("removed");
    assert_eq!(client.getattr(&file).await.unwrap().nlink, 1);
    // A link to a link is a name of the link itself.
    let link = client.symlink(&top, "s", "nowhere").await.unwrap();
    client.link(&link, &dir, "s2").await.expect("linked");
    assert_eq!(client.lookup(&dir, "s2").await, Ok(link));
}

//! What each user may do, by the modes of POSIX.

use std::os::unix::fs::PermissionsExt;

use nfs3_types::nfs3::*;
use nfs3_types::rpc::opaque_auth;
use rstest::rstest;

use crate::support::{Client, Export, Reply, mode, owner, size};

const DENIED: Reply<()> = Err(nfsstat3::NFS3ERR_ACCES);
const NOT_OWNER: Reply<()> = Err(nfsstat3::NFS3ERR_PERM);

/// `dir`, of user 1000 and group 100 with the mode, holds `file` of the same owner, mode 0640.
async fn prepared(export: &Export, bits: u32) -> (nfs_fh3, nfs_fh3) {
    let mut root = export.root().await;
    let top = root.top.clone();
    let dir = root.mkdir(&top, "dir", 0o777).await.expect("a directory");
    let file = root.create(&dir, "file", 0o640).await.expect("a file");
    let theirs = owner(Some(1000), Some(100));
    root.setattr(&file, theirs.clone()).await.expect("given");
    root.setattr(&dir, theirs).await.expect("given");
    root.setattr(&dir, mode(bits)).await.expect("a mode");
    (dir, file)
}

#[rstest]
#[case::owner(1000, 1, &[], 0o700, Ok(()))]
#[case::owner_without_search(1000, 1, &[], 0o677, DENIED)]
#[case::group(7, 100, &[], 0o070, Ok(()))]
#[case::supplementary(7, 7, &[5, 100], 0o070, Ok(()))]
#[case::group_denied_where_others_may(7, 100, &[], 0o707, DENIED)]
#[case::others(7, 7, &[], 0o007, Ok(()))]
#[case::others_denied(7, 7, &[], 0o770, DENIED)]
#[case::root(0, 0, &[], 0o000, Ok(()))]
#[tokio::test]
async fn searching_listing_and_making(
    #[case] uid: u32,
    #[case] gid: u32,
    #[case] groups: &[u32],
    #[case] bits: u32,
    #[case] expected: Reply<()>,
) {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, bits).await;
    let mut user = export.user(uid, gid, groups).await;
    assert_eq!(user.lookup(&dir, "file").await.map(drop), expected);
    assert_eq!(user.mkdir(&dir, "new", 0o755).await.map(drop), expected);
    assert_eq!(user.symlink(&dir, "s", "x").await.map(drop), expected);
    assert_eq!(user.rename((&dir, "file"), (&dir, "moved")).await, expected);
}

#[rstest]
#[case::list_needs_read(0o755, 0o711, true)]
#[case::make_needs_write(0o733, 0o755, false)]
#[tokio::test]
async fn directory_bits(#[case] granting: u32, #[case] denying: u32, #[case] listing: bool) {
    for (bits, expected) in [(granting, Ok(())), (denying, DENIED)] {
        let export = Export::start().await;
        let (dir, _) = prepared(&export, bits).await;
        let mut user = export.user(7, 7, &[]).await;
        let result = if listing {
            user.readdir(&dir, 0, cookieverf3::default(), 8192)
                .await
                .map(drop)
        } else {
            user.create(&dir, "new", 0o644).await.map(drop)
        };
        assert_eq!(result, expected, "{bits:o}");
    }
}

#[tokio::test]
async fn names_without_attributes_where_search_is_denied() {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, 0o744).await;
    let mut user = export.user(7, 7, &[]).await;
    let page = user
        .readdirplus(&dir, 0, cookieverf3::default(), 8192)
        .await
        .expect("a page");
    let entries = page.reply.entries.into_inner();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert!(entry.name_handle.is_none() && entry.name_attributes.is_none());
    }
}

#[rstest]
#[case::owner(1000, 1, true, true)]
#[case::group_reads(7, 100, true, false)]
#[case::others(7, 7, false, false)]
#[case::root(0, 0, true, true)]
#[tokio::test]
async fn data(#[case] uid: u32, #[case] gid: u32, #[case] reads: bool, #[case] writes: bool) {
    let expected = |granted: bool| if granted { Ok(()) } else { DENIED };
    let export = Export::start().await;
    let (_, file) = prepared(&export, 0o755).await;
    let mut user = export.user(uid, gid, &[]).await;
    assert_eq!(user.read(&file, 0, 1).await.map(drop), expected(reads));
    assert_eq!(user.write(&file, 0, b"x").await.map(drop), expected(writes));
    assert_eq!(user.commit(&file).await.map(drop), expected(writes));
    assert_eq!(
        user.setattr(&file, size(0)).await.map(drop),
        expected(writes)
    );
    let access = user.access(&file).await.expect("an answer");
    assert_eq!(access & ACCESS3_READ != 0, reads);
    assert_eq!(access & ACCESS3_MODIFY != 0, writes);
}

#[rstest]
#[case::mode_by_owner(1000, 100, mode(0o600), Ok(()))]
#[case::mode_by_group(7, 100, mode(0o600), NOT_OWNER)]
#[case::given_away_by_owner(1000, 100, owner(Some(7), None), NOT_OWNER)]
#[case::taken(7, 7, owner(Some(7), None), NOT_OWNER)]
#[case::own_group_by_owner(1000, 55, owner(None, Some(55)), Ok(()))]
#[case::foreign_group_by_owner(1000, 55, owner(None, Some(56)), NOT_OWNER)]
#[case::given_away_by_root(0, 0, owner(Some(7), Some(8)), Ok(()))]
#[tokio::test]
async fn changing_attributes(
    #[case] uid: u32,
    #[case] gid: u32,
    #[case] new: sattr3,
    #[case] expected: Reply<()>,
) {
    let export = Export::start().await;
    let (_, file) = prepared(&export, 0o755).await;
    let mut user = export.user(uid, gid, &[]).await;
    let before = user.getattr(&file).await.unwrap();
    assert_eq!(user.setattr(&file, new.clone()).await.map(drop), expected);
    let after = user.getattr(&file).await.unwrap();
    let wanted = |option: &Nfs3Option<u32>, present: u32| match option {
        Nfs3Option::Some(value) if expected.is_ok() => *value,
        _ => present,
    };
    assert_eq!(after.mode, wanted(&new.mode, before.mode));
    assert_eq!(after.uid, wanted(&new.uid, before.uid));
    assert_eq!(after.gid, wanted(&new.gid, before.gid));
}

#[tokio::test]
async fn times_by_who_may_write_and_by_the_owner() {
    let export = Export::start().await;
    let (_, file) = prepared(&export, 0o755).await;
    let mut root = export.root().await;
    root.setattr(&file, mode(0o622)).await.unwrap();
    let mut writer = export.user(7, 7, &[]).await;
    let now = sattr3 {
        mtime: set_mtime::SET_TO_SERVER_TIME,
        ..sattr3::default()
    };
    let chosen = sattr3 {
        mtime: set_mtime::SET_TO_CLIENT_TIME(nfstime3::default()),
        ..sattr3::default()
    };
    assert_eq!(writer.setattr(&file, now.clone()).await.map(drop), Ok(()));
    assert_eq!(
        writer.setattr(&file, chosen.clone()).await.map(drop),
        NOT_OWNER
    );
    root.setattr(&file, mode(0o600)).await.unwrap();
    assert_eq!(writer.setattr(&file, now).await.map(drop), DENIED);
    let mut theirs = export.user(1000, 7, &[]).await;
    assert_eq!(theirs.setattr(&file, chosen).await.map(drop), Ok(()));
}

#[tokio::test]
async fn new_objects_belong_to_the_caller() {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, 0o777).await;
    let mut user = export.user(7, 70, &[71]).await;
    let made = [
        user.create(&dir, "f", 0o644).await.unwrap(),
        user.mkdir(&dir, "d", 0o755).await.unwrap(),
        user.symlink(&dir, "s", "x").await.unwrap(),
        user.mknod(&dir, "p", mknoddata3::NF3FIFO(mode(0o600)))
            .await
            .unwrap(),
    ];
    for object in made {
        let attributes = user.getattr(&object).await.unwrap();
        assert_eq!((attributes.uid, attributes.gid), (7, 70));
    }
    let mut root = export.root().await;
    root.setattr(&dir, mode(0o2777)).await.unwrap();
    let file = user.create(&dir, "f2", 0o644).await.unwrap();
    assert_eq!(user.getattr(&file).await.unwrap().gid, 100);
    let below = user.mkdir(&dir, "d2", 0o755).await.unwrap();
    let attributes = user.getattr(&below).await.unwrap();
    assert_eq!((attributes.gid, attributes.mode), (100, 0o2755));
}

#[tokio::test]
async fn an_owner_is_given_at_creation_by_root_only() {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, 0o777).await;
    let how = || createhow3::GUARDED(owner(Some(1234), Some(1235)));
    let mut user = export.user(7, 70, &[]).await;
    assert_eq!(user.create_how(&dir, "u", how()).await.map(drop), NOT_OWNER);
    assert!(!export.local("dir/u").exists());
    let mut root = export.root().await;
    let file = root.create_how(&dir, "r", how()).await.expect("a file");
    let attributes = root.getattr(&file).await.unwrap();
    assert_eq!((attributes.uid, attributes.gid), (1234, 1235));
}

#[tokio::test]
async fn sticky_directories_protect_entries_of_others() {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, 0o1777).await;
    let mut stranger = export.user(7, 7, &[]).await;
    let mut owner = export.user(1000, 100, &[]).await;
    assert_eq!(stranger.remove(&dir, "file").await.map(drop), NOT_OWNER);
    assert_eq!(
        stranger.rename((&dir, "file"), (&dir, "taken")).await,
        NOT_OWNER
    );
    stranger.create(&dir, "own", 0o644).await.expect("a file");
    assert_eq!(
        stranger.rename((&dir, "own"), (&dir, "file")).await,
        NOT_OWNER
    );
    stranger.remove(&dir, "own").await.expect("its own");
    owner.remove(&dir, "file").await.expect("its own");
}

#[tokio::test]
async fn a_directory_that_moves_must_be_writable_itself() {
    let export = Export::start().await;
    let mut root = export.root().await;
    let top = root.top.clone();
    let a = root.mkdir(&top, "a", 0o777).await.unwrap();
    let b = root.mkdir(&top, "b", 0o777).await.unwrap();
    root.mkdir(&a, "theirs", 0o755).await.unwrap();
    let mut user = export.user(7, 7, &[]).await;
    assert_eq!(user.rename((&a, "theirs"), (&b, "moved")).await, DENIED);
    user.rename((&a, "theirs"), (&a, "renamed"))
        .await
        .expect("within one directory");
}

#[tokio::test]
async fn set_id_bits_go_when_another_user_writes() {
    let export = Export::start().await;
    let mut root = export.root().await;
    let top = root.top.clone();
    let file = root.create(&top, "f", 0o6777).await.unwrap();
    let mut user = export.user(7, 7, &[]).await;
    user.write(&file, 0, b"x").await.expect("written");
    assert_eq!(root.getattr(&file).await.unwrap().mode, 0o777);
    root.setattr(&file, mode(0o6777)).await.unwrap();
    root.setattr(&file, owner(Some(9), None)).await.unwrap();
    assert_eq!(root.getattr(&file).await.unwrap().mode, 0o777);
}

async fn writes_as(client: &mut Client, dir: &nfs_fh3) -> fattr3 {
    let file = client.create(dir, "mine", 0o644).await.expect("a file");
    client.getattr(&file).await.expect("attributes")
}

#[tokio::test]
async fn root_is_squashed_where_that_is_asked_for() {
    let export = Export::with(true).await;
    let set = |path: &str, bits: u32| {
        std::fs::set_permissions(export.local(path), std::fs::Permissions::from_mode(bits))
            .unwrap();
    };
    std::fs::create_dir(export.local("open")).unwrap();
    set("open", 0o777);
    set("", 0o700);
    let mut root = export.root().await;
    let top = root.top.clone();
    // The root of the export is private to the user who made it.
    assert_eq!(root.lookup(&top, "open").await.map(drop), DENIED);
    set("", 0o755);
    assert_eq!(root.mkdir(&top, "new", 0o755).await.map(drop), DENIED);
    let open = root.lookup(&top, "open").await.expect("found");
    let attributes = writes_as(&mut root, &open).await;
    assert_eq!((attributes.uid, attributes.gid), (65534, 65534));
    assert_eq!(
        root.setattr(&open, owner(Some(1), None)).await.map(drop),
        NOT_OWNER
    );
}

#[tokio::test]
async fn callers_without_a_name_are_anonymous() {
    let export = Export::start().await;
    let (dir, _) = prepared(&export, 0o777).await;
    let mut nobody = export.mount("/export", opaque_auth::default()).await;
    let attributes = writes_as(&mut nobody, &dir).await;
    assert_eq!((attributes.uid, attributes.gid), (65534, 65534));
}

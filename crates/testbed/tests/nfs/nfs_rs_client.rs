//! The provisioner's client library, `nfs-rs`, against the export.

use futures::StreamExt;
use nfs_rs::{Mount, Nfs3ErrorCode, NfsError};

use crate::support::Export;

async fn mount(export: &Export, path: &str, uid: u32, gid: u32) -> nfs_rs::Result<Box<dyn Mount>> {
    let port = export.server.port();
    nfs_rs::parse_url_and_mount(&format!(
        "nfs://127.0.0.1{path}?version=3&nfsport={port}&mountport={port}&noresvport=true&uid={uid}&gid={gid}"
    ))
    .await
}

async fn names(mount: &dyn Mount, directory: &str) -> Vec<String> {
    let mut stream = mount.readdirplus_path(directory).await.expect("a listing");
    let mut names = Vec::new();
    while let Some(entry) = stream.next().await {
        let entry = entry.expect("an entry");
        if entry.file_name != "." && entry.file_name != ".." {
            assert!(entry.attr.is_some() && !entry.handle.is_empty());
            names.push(entry.file_name);
        }
    }
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provisioner_does() {
    let export = Export::start().await;
    let mount = mount(&export, "/export", 0, 0).await.expect("a mount");
    mount.null().await.expect("an answer");
    let made = mount
        .mkdir_path("default-x-pvc-1", 0o777)
        .await
        .expect("a directory");
    mount
        .setattr(
            made.fh.clone(),
            None,
            Some(0o2770),
            Some(1000),
            Some(100),
            None,
            None,
            None,
        )
        .await
        .expect("attributes");
    let attributes = mount.getattr(made.fh.clone()).await.expect("attributes");
    assert_eq!(attributes.file_mode & 0o7777, 0o2770);
    assert_eq!((attributes.uid, attributes.gid), (1000, 100));

    let file = mount
        .create_path("default-x-pvc-1/data", Some(0o640))
        .await
        .expect("a file");
    let text = b"some bytes".repeat(100_000);
    let written = nfs_rs::write_all(&*mount, file.fh.clone(), 0, text.clone().into())
        .await
        .expect("written");
    assert_eq!(written, text.len() as u64);
    let read = mount.read(file.fh.clone(), 5, 10).await.expect("data");
    assert_eq!(&read[..], b"bytessome ");
    assert!(std::fs::read(export.local("default-x-pvc-1/data")).unwrap() == text);

    let linked = mount
        .link_path("default-x-pvc-1/data", "default-x-pvc-1/other")
        .await
        .expect("linked");
    assert_eq!(linked.nlink, 2);
    mount
        .symlink_path("data", "default-x-pvc-1/soft")
        .await
        .expect("linked");
    assert_eq!(
        mount
            .readlink_path("default-x-pvc-1/soft")
            .await
            .expect("a target"),
        "data"
    );
    assert_eq!(
        names(&*mount, "default-x-pvc-1").await,
        ["data", "other", "soft"]
    );

    mount
        .rename_path("default-x-pvc-1", "archived-default-x-pvc-1")
        .await
        .expect("renamed");
    assert_eq!(names(&*mount, "/").await, ["archived-default-x-pvc-1"]);
    assert_eq!(
        mount
            .lookup_path("archived-default-x-pvc-1")
            .await
            .expect("found")
            .fh,
        made.fh
    );
    for name in ["data", "other", "soft"] {
        mount.remove(made.fh.clone(), name).await.expect("removed");
    }
    mount
        .rmdir_path("archived-default-x-pvc-1")
        .await
        .expect("removed");
    assert!(names(&*mount, "/").await.is_empty());
    mount.umount().await.expect("unmounted");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_below_the_export_as_a_pod_mounts_them() {
    let export = Export::start().await;
    let root = mount(&export, "/export", 0, 0).await.expect("a mount");
    root.mkdir_path("volume", 0o770).await.expect("a directory");
    root.setattr_path(
        "volume",
        false,
        None,
        Some(1000),
        Some(100),
        None,
        None,
        None,
    )
    .await
    .expect("given");
    let pod = mount(&export, "/export/volume", 1000, 100)
        .await
        .expect("a mount");
    pod.create_path("file", Some(0o600)).await.expect("a file");
    assert!(export.local("volume/file").is_file());
    let stranger = mount(&export, "/export/volume", 7, 7)
        .await
        .expect("a mount");
    let error = stranger
        .create_path("other", Some(0o600))
        .await
        .expect_err("denied");
    assert!(
        matches!(&error, NfsError::Nfs3(Nfs3ErrorCode::NFS3ERR_ACCES)),
        "{error:?}"
    );
    assert!(mount(&export, "/export/gone", 0, 0).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_entries() {
    let export = Export::start().await;
    for index in 0..10_000 {
        std::fs::create_dir(export.local(&format!("d{index:05}"))).unwrap();
    }
    let mount = mount(&export, "/export", 0, 0).await.expect("a mount");
    let names = names(&*mount, "/").await;
    assert_eq!(names.len(), 10_000);
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
}

//! Handles mean one object, wherever it is moved, and never another.

use std::fs;

use nfs3_types::nfs3::*;

use crate::support::{Client, Export};

async fn content(client: &mut Client, file: &nfs_fh3) -> Vec<u8> {
    client.read(file, 0, 1024).await.expect("content").0
}

#[tokio::test]
async fn handles_outlive_renames_by_any_client() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let a = client.mkdir(&top, "a", 0o755).await.unwrap();
    let b = client.mkdir(&top, "b", 0o755).await.unwrap();
    let file = client.create(&a, "f", 0o644).await.unwrap();
    client.write(&file, 0, b"mine").await.unwrap();
    let mut other = export.root().await;
    other.rename((&a, "f"), (&b, "g")).await.expect("renamed");
    other.rename((&top, "b"), (&a, "c")).await.expect("renamed");
    assert_eq!(content(&mut client, &file).await, b"mine");
    assert_eq!(client.names(&b).await, ["g"]);
    assert!(export.local("a/c/g").is_file());
}

#[tokio::test]
async fn handles_outlive_renames_behind_the_servers_back() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let volume = client.mkdir(&top, "volume", 0o755).await.unwrap();
    let file = client.create(&volume, "f", 0o644).await.unwrap();
    client.write(&file, 0, b"mine").await.unwrap();
    fs::rename(export.local("volume"), export.local("archived-volume")).unwrap();
    fs::create_dir(export.local("volume")).unwrap();
    fs::write(export.local("volume/f"), "another's").unwrap();
    assert_eq!(content(&mut client, &file).await, b"mine");
    client.create(&volume, "new", 0o644).await.expect("a file");
    assert!(export.local("archived-volume/new").exists());
    assert!(!export.local("volume/new").exists());
    assert_ne!(client.lookup(&top, "volume").await.unwrap(), volume);
}

#[tokio::test]
async fn what_is_removed_is_stale() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.create(&top, "f", 0o644).await.unwrap();
    let dir = client.mkdir(&top, "d", 0o755).await.unwrap();
    let mut other = export.root().await;
    other.remove(&top, "f").await.expect("removed");
    other.rmdir(&top, "d").await.expect("removed");
    assert_eq!(client.read(&file, 0, 1).await, Err(nfsstat3::NFS3ERR_STALE));
    assert_eq!(
        client.write(&file, 0, b"x").await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
    assert_eq!(
        client.create(&dir, "x", 0o644).await,
        Err(nfsstat3::NFS3ERR_STALE)
    );
    assert_eq!(
        client.link(&file, &top, "again").await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
}

#[tokio::test]
async fn a_reused_inode_number_does_not_bring_a_handle_back() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let mut handles = Vec::new();
    for round in 0..50 {
        let name = format!("f{round}");
        fs::write(export.local(&name), "old").unwrap();
        handles.push(client.lookup(&top, &name).await.expect("a handle"));
        fs::remove_file(export.local(&name)).unwrap();
    }
    for round in 0..50 {
        fs::write(export.local(&format!("f{round}")), "new").unwrap();
    }
    for handle in handles {
        assert_eq!(
            client.read(&handle, 0, 10).await,
            Err(nfsstat3::NFS3ERR_STALE)
        );
    }
}

#[tokio::test]
async fn what_is_moved_out_of_the_directory_is_out_of_reach() {
    let export = Export::start().await;
    let outside = export.outside();
    let mut client = export.root().await;
    let top = client.top.clone();
    let dir = client.mkdir(&top, "d", 0o755).await.unwrap();
    let file = client.create(&dir, "f", 0o644).await.unwrap();
    fs::rename(export.local("d"), outside.path().join("d")).unwrap();
    for handle in [&dir, &file] {
        assert_eq!(
            client.getattr(handle).await.err(),
            Some(nfsstat3::NFS3ERR_STALE)
        );
    }
    assert_eq!(
        client.lookup(&dir, "..").await,
        Err(nfsstat3::NFS3ERR_STALE)
    );
}

#[tokio::test]
async fn handles_that_the_server_never_gave() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let handle = |bytes: &[u8]| nfs_fh3 {
        data: bytes.to_vec().into(),
    };
    for bytes in [&b""[..], b"short", &[0; 64]] {
        assert_eq!(
            client.getattr(&handle(bytes)).await.err(),
            Some(nfsstat3::NFS3ERR_BADHANDLE)
        );
    }
    let mut guessed = client.top.data.to_vec();
    *guessed.last_mut().unwrap() = 200;
    assert_eq!(
        client.getattr(&handle(&guessed)).await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
}

#[tokio::test]
async fn a_restart_makes_handles_stale() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    client.mkdir(&top, "kept", 0o755).await.unwrap();
    let export = export.restart().await;
    let mut client = export.root().await;
    assert_eq!(
        client.getattr(&top).await.err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
    let top = client.top.clone();
    assert_eq!(client.names(&top).await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_at_once_see_each_change_once() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let mut tasks = Vec::new();
    for worker in 0..8 {
        let mut client = export.root().await;
        let top = top.clone();
        tasks.push(tokio::spawn(async move {
            let mut won = 0;
            for round in 0..40 {
                // All of them want the same name; one gets it.
                let name = format!("shared-{round}");
                match client.create(&top, &name, 0o644).await {
                    Ok(file) => {
                        won += 1;
                        let text = format!("worker {worker}");
                        client
                            .write(&file, 0, text.as_bytes())
                            .await
                            .expect("written");
                    }
                    Err(status) => assert_eq!(status, nfsstat3::NFS3ERR_EXIST),
                }
                let own = format!("own-{worker}-{round}");
                client.mkdir(&top, &own, 0o755).await.expect("a directory");
                let moved = format!("moved-{worker}-{round}");
                client
                    .rename((&top, &own), (&top, &moved))
                    .await
                    .expect("moved");
                client.rmdir(&top, &moved).await.expect("removed");
            }
            won
        }));
    }
    let mut won = 0;
    for task in tasks {
        won += task.await.expect("a worker");
    }
    assert_eq!(won, 40);
    let names = client.names(&top).await;
    assert_eq!(names.len(), 40);
    assert!(names.iter().all(|name| name.starts_with("shared-")));
}

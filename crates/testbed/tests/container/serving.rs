//! What it serves, and what is left when it is stopped.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use testbed::docker;

use crate::bed::{Bed, mount, view};

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_serve_the_bytes_of_the_directory() {
    let Some(bed) = Bed::make("serving").await else {
        return;
    };
    let export = bed.start().await;
    let info = export.info();
    assert_eq!(info.path, "/export");
    let v3 = view(&info);

    // Written by NFSv3, with owners that no user list knows.
    v3.mkdir("claim", 0o770).await.expect("made");
    v3.chown("claim", 4321, 8765).await.expect("given away");
    v3.chmod("claim", 0o2770)
        .await
        .expect("opened to its group");
    v3.write("claim/data", b"some bytes")
        .await
        .expect("written");
    assert_eq!(
        std::fs::read(bed.local("claim/data")).unwrap(),
        b"some bytes"
    );
    let claim = std::fs::metadata(bed.local("claim")).unwrap();
    assert_eq!((claim.uid(), claim.gid()), (4321, 8765));
    assert_eq!(claim.permissions().mode() & 0o7777, 0o2770);
    let seen = v3.stat("claim").await.expect("answered").expect("there");
    assert_eq!((seen.uid, seen.gid, seen.mode), (4321, 8765, 0o2770));
    let local = v3.local_manifest("").expect("a manifest").expect("there");
    assert_eq!(v3.manifest("").await.expect("a manifest"), local);

    // Another user comes in by a supplementary group, and only by it.
    let member = v3.as_user(1000, 1000, vec![8765]);
    assert_eq!(
        member.read("claim/data").await.expect("read"),
        b"some bytes"
    );
    let stranger = v3.as_user(1000, 1000, Vec::new());
    assert!(
        stranger
            .read("claim/data")
            .await
            .unwrap_err()
            .is_permission_denied()
    );

    // Read and written by NFSv4.1.
    let v41 = mount(&info, "4.1").await.expect("a mount");
    let file = v41.lookup_path("claim/data").await.expect("found");
    let read = v41.read(file.fh, 5, 5).await.expect("read");
    assert_eq!(&read[..], b"bytes");
    let made = v41
        .create_path("claim/other", Some(0o640))
        .await
        .expect("made");
    let text = vec![7; 300_000];
    let count = nfs_rs::write_all(&*v41, made.fh.clone(), 0, text.clone().into())
        .await
        .expect("written");
    assert_eq!(count, 300_000);
    v41.commit(made.fh, 0, 0).await.expect("committed");
    v41.umount().await.expect("unmounted");
    assert_eq!(std::fs::read(bed.local("claim/other")).unwrap(), text);
    assert_eq!(v3.read("claim/other").await.expect("read"), text);

    // Versions that are switched off.
    for version in ["4.0", "4.2"] {
        assert!(mount(&info, version).await.is_err(), "{version} is served");
    }

    let log = bed.options.log.clone();
    let directory = bed.options.directory.clone();
    export.stop().await.expect("stopped");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("NFS SERVER INITIALIZED")
    );
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_squashed_export_takes_root_for_nobody() {
    let Some(bed) = Bed::make("squashed").await else {
        return;
    };
    let export = bed.start().await;
    let squashed = export.squashed();
    let root = view(&squashed);
    root.write("file", b"x").await.expect("written");
    let owner = root.stat("file").await.expect("answered").expect("there");
    assert_eq!((owner.uid, owner.gid), (65534, 65534));
    assert!(
        root.chown("file", 1000, 1000)
            .await
            .unwrap_err()
            .is_permission_denied()
    );
    assert!(bed.options.squashed.join("file").exists());
    // The other export is another directory, where root is root, and other users are themselves.
    let plain = view(&export.info());
    assert_eq!(plain.stat("file").await.expect("answered"), None);
    plain.write("file", b"x").await.expect("written");
    plain.chown("file", 1000, 1000).await.expect("given away");
    let user = view(&squashed).as_user(1000, 1001, Vec::new());
    user.write("mine", b"x").await.expect("written");
    let owner = user.stat("mine").await.expect("answered").expect("there");
    assert_eq!((owner.uid, owner.gid), (1000, 1001));
    export.stop().await.expect("stopped");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_is_removed() {
    let Some(bed) = Bed::make("dropped").await else {
        return;
    };
    let export = bed.start().await;
    let name = bed.options.container.clone();
    docker::run(&["inspect", &name]).await.expect("there");
    drop(export);
    assert!(
        docker::run(&["inspect", &name])
            .await
            .unwrap_err()
            .is_missing_object()
    );
    bed.end().await;
}

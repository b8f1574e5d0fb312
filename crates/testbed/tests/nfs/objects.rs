//! Objects are made, read, written and changed as RFC 1813 has it.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nfs3_types::nfs3::*;

use crate::support::{Export, mode, size, some};

#[tokio::test]
async fn null_and_file_system_facts() {
    let export = Export::start().await;
    let mut client = export.root().await;
    client.connection.null().await.expect("an answer");
    let root = client.top.clone();

    let info = client
        .connection
        .fsinfo(&FSINFO3args::from(root.clone()))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(
        info.properties,
        FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME
    );
    assert!(info.rtmax >= 65536 && info.wtmax >= 65536);

    let space = client
        .connection
        .fsstat(&FSSTAT3args::from(root.clone()))
        .await
        .expect("an answer")
        .unwrap();
    assert!(space.tbytes >= space.fbytes && space.fbytes >= space.abytes && space.tbytes > 0);

    let limits = client
        .connection
        .pathconf(&PATHCONF3args::from(root))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(limits.name_max, 255);
    assert!(limits.no_trunc && limits.case_preserving && !limits.case_insensitive);
}

#[tokio::test]
async fn written_data_is_read_back_and_in_the_directory() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.create(&top, "data", 0o640).await.expect("a file");
    let written = client.write(&file, 0, b"hello").await.expect("written");
    assert_eq!(
        (written.count, written.committed),
        (5, stable_how::FILE_SYNC)
    );
    client.write(&file, 7, b"world").await.expect("written");
    assert_eq!(
        client.read(&file, 0, 100).await,
        Ok((b"hello\0\0world".to_vec(), true))
    );
    assert_eq!(client.read(&file, 2, 3).await, Ok((b"llo".to_vec(), false)));
    assert_eq!(client.read(&file, 12, 3).await, Ok((Vec::new(), true)));
    assert_eq!(
        std::fs::read(export.local("data")).unwrap(),
        b"hello\0\0world"
    );
    let attributes = client.getattr(&file).await.expect("attributes");
    assert_eq!((attributes.size, attributes.mode), (12, 0o640));
    assert_eq!(
        attributes.fileid,
        export.local("data").metadata().unwrap().ino()
    );
}

#[tokio::test]
async fn a_megabyte_goes_in_one_call() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.create(&top, "big", 0o600).await.expect("a file");
    let data: Vec<u8> = (0..1024 * 1024u32).map(|byte| (byte % 251) as u8).collect();
    client
        .write_stable(&file, 0, &data, stable_how::UNSTABLE)
        .await
        .expect("written");
    let (read, eof) = client.read(&file, 0, 1024 * 1024).await.expect("data");
    assert!(eof && read == data);
}

#[tokio::test]
async fn uncommitted_data_has_the_verifier_of_commit_until_a_restart() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.create(&top, "data", 0o600).await.expect("a file");
    let unstable = client
        .write_stable(&file, 0, b"x", stable_how::UNSTABLE)
        .await
        .expect("written");
    assert_eq!(unstable.committed, stable_how::UNSTABLE);
    assert_eq!(client.commit(&file).await, Ok(unstable.verf));

    let export = export.restart().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.lookup(&top, "data").await.expect("the file");
    assert_ne!(client.commit(&file).await, Ok(unstable.verf));
}

#[tokio::test]
async fn modes_are_exact() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    for bits in [0o777, 0o000, 0o1777, 0o2775, 0o4711] {
        let name = format!("d{bits:o}");
        client.mkdir(&top, &name, bits).await.expect("a directory");
        assert_eq!(
            export.local(&name).metadata().unwrap().mode() & 0o7777,
            bits
        );
        let name = format!("f{bits:o}");
        client.create(&top, &name, bits).await.expect("a file");
        assert_eq!(
            export.local(&name).metadata().unwrap().mode() & 0o7777,
            bits
        );
    }
}

#[tokio::test]
async fn the_three_ways_to_create() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();

    let file = client.create(&top, "a", 0o644).await.expect("a file");
    client.write(&file, 0, b"data").await.expect("written");
    assert_eq!(
        client.create(&top, "a", 0o644).await,
        Err(nfsstat3::NFS3ERR_EXIST)
    );

    // Unchecked takes what is there; a size truncates it, a mode is not applied.
    let again = client
        .create_how(&top, "a", createhow3::UNCHECKED(mode(0o600)))
        .await;
    assert_eq!(again, Ok(file.clone()));
    assert_eq!(client.getattr(&file).await.unwrap().size, 4);
    let again = client
        .create_how(&top, "a", createhow3::UNCHECKED(size(0)))
        .await;
    assert_eq!(again, Ok(file.clone()));
    let attributes = client.getattr(&file).await.unwrap();
    assert_eq!((attributes.size, attributes.mode), (0, 0o644));
    client.mkdir(&top, "d", 0o755).await.expect("a directory");
    let over = client
        .create_how(&top, "d", createhow3::UNCHECKED(mode(0o600)))
        .await;
    assert_eq!(over, Err(nfsstat3::NFS3ERR_ISDIR));

    let verifier = createhow3::EXCLUSIVE(createverf3(*b"verifier"));
    let first = client
        .create_how(&top, "x", verifier)
        .await
        .expect("a file");
    let verifier = createhow3::EXCLUSIVE(createverf3(*b"verifier"));
    assert_eq!(client.create_how(&top, "x", verifier).await, Ok(first));
    let other = createhow3::EXCLUSIVE(createverf3(*b"another!"));
    assert_eq!(
        client.create_how(&top, "x", other).await,
        Err(nfsstat3::NFS3ERR_EXIST)
    );
}

#[tokio::test]
async fn attributes_are_set_and_guarded() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let file = client.create(&top, "a", 0o644).await.expect("a file");
    client
        .write(&file, 0, b"0123456789")
        .await
        .expect("written");

    let before = client.getattr(&file).await.unwrap();
    let wcc = client.setattr(&file, size(4)).await.expect("truncated");
    let was = some(wcc.before).expect("attributes before");
    assert_eq!((was.size, was.ctime), (10, before.ctime));
    assert_eq!(some(wcc.after).expect("attributes after").size, 4);
    client.setattr(&file, size(8)).await.expect("extended");
    assert_eq!(
        client.read(&file, 0, 10).await,
        Ok((b"0123\0\0\0\0".to_vec(), true))
    );

    let time = |seconds| nfstime3 {
        seconds,
        nseconds: 5,
    };
    let times = sattr3 {
        atime: set_atime::SET_TO_CLIENT_TIME(time(1000)),
        mtime: set_mtime::SET_TO_CLIENT_TIME(time(2000)),
        ..sattr3::default()
    };
    client.setattr(&file, times).await.expect("times");
    let attributes = client.getattr(&file).await.unwrap();
    assert_eq!(
        (attributes.atime, attributes.mtime),
        (time(1000), time(2000))
    );

    let stale_guard = Nfs3Option::Some(time(1));
    assert_eq!(
        client
            .setattr_guarded(&file, mode(0o600), stale_guard)
            .await
            .err(),
        Some(nfsstat3::NFS3ERR_NOT_SYNC)
    );
    let right_guard = Nfs3Option::Some(attributes.ctime);
    client
        .setattr_guarded(&file, mode(0o600), right_guard)
        .await
        .expect("changed");
    assert_eq!(client.getattr(&file).await.unwrap().mode, 0o600);
    assert_eq!(
        client.setattr(&top, size(0)).await.err(),
        Some(nfsstat3::NFS3ERR_ISDIR)
    );
}

#[tokio::test]
async fn links_are_told_and_never_followed() {
    let export = Export::start().await;
    let outside = export.outside();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    let mut client = export.root().await;
    let top = client.top.clone();
    let target = outside.path().to_str().unwrap().to_owned();
    let link = client.symlink(&top, "out", &target).await.expect("a link");
    assert_eq!(
        client.readlink(&link).await,
        Ok(target.clone().into_bytes())
    );
    assert_eq!(client.getattr(&link).await.unwrap().type_, ftype3::NF3LNK);
    assert_eq!(
        client.lookup(&link, "secret").await,
        Err(nfsstat3::NFS3ERR_NOTDIR)
    );
    assert_eq!(client.read(&link, 0, 1).await, Err(nfsstat3::NFS3ERR_INVAL));
    assert_eq!(
        client
            .create_how(&top, "out", createhow3::UNCHECKED(size(0)))
            .await,
        Err(nfsstat3::NFS3ERR_EXIST)
    );
    assert_eq!(
        client.setattr(&link, mode(0o600)).await.err(),
        Some(nfsstat3::NFS3ERR_NOTSUPP)
    );
    // A broken one is an object like any other.
    let broken = client
        .symlink(&top, "broken", "no/where")
        .await
        .expect("a link");
    assert_eq!(client.lookup(&top, "broken").await, Ok(broken));
    client.remove(&top, "broken").await.expect("removed");
    client.remove(&top, "out").await.expect("removed");
    assert!(outside.path().join("secret").exists());
}

#[tokio::test]
async fn special_files_without_devices() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let fifo = client
        .mknod(&top, "fifo", mknoddata3::NF3FIFO(mode(0o622)))
        .await
        .expect("a FIFO");
    let attributes = client.getattr(&fifo).await.unwrap();
    assert_eq!(
        (attributes.type_, attributes.mode),
        (ftype3::NF3FIFO, 0o622)
    );
    // Reading a FIFO would block the server for good.
    assert_eq!(client.read(&fifo, 0, 1).await, Err(nfsstat3::NFS3ERR_INVAL));
    client
        .mknod(&top, "socket", mknoddata3::NF3SOCK(mode(0o600)))
        .await
        .expect("a socket");
    let kind = export.local("socket").metadata().unwrap().file_type();
    assert!(kind.is_socket());
    let device = devicedata3 {
        dev_attributes: mode(0o600),
        spec: specdata3::default(),
    };
    assert_eq!(
        client.mknod(&top, "null", mknoddata3::NF3CHR(device)).await,
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    );
    assert_eq!(client.names(&top).await, ["fifo", "socket"]);
}

#[tokio::test]
async fn calls_are_counted_by_procedure() {
    use testbed::nfs::embedded::Procedure;
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    client.mkdir(&top, "a", 0o755).await.expect("a directory");
    client.mkdir(&top, "b", 0o755).await.expect("a directory");
    assert_eq!(export.server.calls(Procedure::NFSPROC3_MKDIR), 2);
    assert_eq!(export.server.calls(Procedure::NFSPROC3_REMOVE), 0);
}

#[derive(Default)]
struct Recorder(std::sync::Mutex<Vec<String>>);

impl testbed::nfs::embedded::CallHook for Recorder {
    fn before(&self, call: &testbed::nfs::embedded::Call<'_>) -> testbed::nfs::embedded::Verdict {
        let line = format!("{} {:?} {}", call.procedure, call.path, call.count);
        self.0.lock().expect("a lock").push(line);
        testbed::nfs::embedded::Verdict::Proceed
    }
}

#[tokio::test]
async fn a_hook_is_asked_before_each_call() {
    let hook = std::sync::Arc::new(Recorder::default());
    let export = Export::hooked(hook.clone()).await;
    let mut client = export.root().await;
    let top = client.top.clone();
    let dir = client.mkdir(&top, "a", 0o755).await.unwrap();
    let below = client.mkdir(&dir, "b", 0o755).await.unwrap();
    client.getattr(&below).await.unwrap();
    assert_eq!(
        *hook.0.lock().unwrap(),
        [
            "NFSPROC3_MKDIR \"\" 1",
            "NFSPROC3_MKDIR \"a\" 2",
            "NFSPROC3_GETATTR \"a/b\" 1",
        ]
    );
}

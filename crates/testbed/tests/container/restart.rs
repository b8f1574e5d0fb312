//! A server that is killed and started again.

use std::time::{Duration, Instant};

use nfs3_client::Nfs3ConnectionBuilder;
use nfs3_client::tokio::TokioConnector;
use nfs3_types::nfs3::{
    COMMIT3args, CREATE3args, GETATTR3args, LOOKUP3args, Nfs3Option, READ3args, WRITE3args,
    createhow3, diropargs3, filename3, nfs_fh3, sattr3, stable_how,
};
use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;
use testbed::docker;
use testbed::nfs::container::{ContainerError, kill, start_again, wait_ready};
use testbed::state::ExportInfo;

use crate::bed::{Bed, mount, view};

type Client = nfs3_client::Nfs3Client<nfs3_client::tokio::TokioIo<tokio::net::TcpStream>>;

/// A connection of its own, which keeps handles by itself, as a mounting kernel does.
async fn connect(info: &ExportInfo) -> (Client, nfs_fh3) {
    let credential = opaque_auth::auth_unix(&auth_unix {
        stamp: 1,
        machinename: Opaque::borrowed(b"test"),
        uid: 0,
        gid: 0,
        gids: Vec::new(),
    });
    let mounted = Nfs3ConnectionBuilder::new(TokioConnector, info.server.clone(), &info.path)
        .mount_port(info.mount_port)
        .nfs3_port(info.port)
        .connect_from_privileged_port(false)
        .credential(credential)
        .mount()
        .await
        .expect("a mount");
    let root = mounted.root_nfs_fh3();
    (mounted.into_nfs3_client(), root)
}

fn entry<'a>(directory: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 {
        dir: directory.clone(),
        name: filename3::from(name.as_bytes()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_its_address_handles_and_data() {
    let Some(bed) = Bed::make("restart").await else {
        return;
    };
    let export = bed.start().await;
    let info = export.info();
    let name = info.container.clone().expect("a container");
    let (mut client, root) = connect(&info).await;
    let made = client
        .create(&CREATE3args {
            where_: entry(&root, "kept"),
            how: createhow3::UNCHECKED(sattr3::default()),
        })
        .await
        .expect("answered")
        .unwrap();
    let Nfs3Option::Some(file) = made.obj else {
        panic!("CREATE gave no handle")
    };
    client
        .write(&WRITE3args {
            file: file.clone(),
            offset: 0,
            count: 8,
            stable: stable_how::UNSTABLE,
            data: Opaque::borrowed(b"synced\n!"),
        })
        .await
        .expect("answered")
        .unwrap();
    client
        .commit(&COMMIT3args {
            file: file.clone(),
            offset: 0,
            count: 0,
        })
        .await
        .expect("answered")
        .unwrap();
    // A client with state of NFSv4.1, so that the restarted server has somebody to wait for.
    let v41 = mount(&info, "4.1").await.expect("a mount");
    v41.create_path("by-v41", Some(0o644)).await.expect("made");

    // Whoever watches the server does not take this for its failure, also the second time.
    let mut failed = Box::pin(export.failed());
    for round in 1..=2 {
        kill(&name).await.expect("killed");
        assert!(
            matches!(kill(&name).await, Err(ContainerError::Docker { .. })),
            "it still runs"
        );
        let started = Instant::now();
        start_again(&name).await.expect("started");
        tokio::select! {
            ready = wait_ready(&info) => ready.expect("ready"),
            error = &mut failed => panic!("taken for a failure: {error}"),
        }
        eprintln!(
            "round {round}: ready {:?} after its start",
            started.elapsed()
        );

        // The old handles, over a new connection to the old address.
        let (mut client, again) = connect(&info).await;
        assert_eq!(again, root, "the root has another handle");
        let found = client
            .lookup(&LOOKUP3args {
                what: entry(&root, "kept"),
            })
            .await
            .expect("answered")
            .unwrap();
        assert_eq!(found.object, file, "the file has another handle");
        client
            .getattr(&GETATTR3args {
                object: file.clone(),
            })
            .await
            .expect("answered")
            .unwrap();
        let read = client
            .read(&READ3args {
                file: file.clone(),
                offset: 0,
                count: 100,
            })
            .await
            .expect("answered")
            .unwrap();
        assert_eq!(read.data.as_ref(), b"synced\n!");
        // Changes go on; while the server waits for clients of NFSv4 it may ask to come later.
        let changed = Instant::now();
        let path = format!("after-{round}");
        view(&info).write(&path, b"new").await.expect("written");
        eprintln!("round {round}: a change took {:?}", changed.elapsed());
        assert_eq!(std::fs::read(bed.local(&path)).unwrap(), b"new");
    }
    // The client of NFSv4.1 never came back. Others get on when the server has waited for it.
    let waited = Instant::now();
    let after_grace = async {
        let again = mount(&info, "4.1").await?;
        again.create_path("by-v41-again", Some(0o644)).await
    };
    tokio::time::timeout(Duration::from_secs(45), after_grace)
        .await
        .expect("the grace period ends")
        .expect("made");
    eprintln!("NFSv4.1 waited {:?}", waited.elapsed());
    drop(failed);
    drop(v41);
    export.stop().await.expect("stopped");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_by_itself_has_failed() {
    let Some(bed) = Bed::make("crash").await else {
        return;
    };
    let export = bed.start().await;
    let name = bed.options.container.clone();
    // A signal from inside of the container is none that Docker was asked for.
    docker::exec(&name, &["sh", "-c", "kill -TERM 1"])
        .await
        .expect("sent");
    let error = tokio::time::timeout(Duration::from_secs(20), export.failed())
        .await
        .expect("noticed");
    let text = error.to_string();
    assert!(matches!(error, ContainerError::Ended { .. }), "{text}");
    assert!(text.contains("NFS EXIT"), "the log is shown: {text}");
    // It was ended by a signal that it heeded, in order.
    assert!(text.contains("code 0"), "{text}");
    export.stop().await.expect("stopped");
    bed.end().await;
}

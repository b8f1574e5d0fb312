//! What goes over the socket: refusals of ONC RPC, repeated calls, calls side by side.

use nfs3_client::RpcError;
use nfs3_client::rpc::RpcClient;
use nfs3_client::tokio::TokioIo;
use nfs3_types::nfs3::*;
use nfs3_types::rpc::{auth_flavor, auth_stat, auth_unix, opaque_auth};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Export, mode};

async fn stream(export: &Export) -> TcpStream {
    TcpStream::connect(("127.0.0.1", export.server.port()))
        .await
        .expect("connected")
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

async fn send(stream: &mut TcpStream, record: &[u8]) {
    let mark = 0x8000_0000 | u32::try_from(record.len()).expect("a short record");
    stream.write_u32(mark).await.expect("sent");
    stream.write_all(record).await.expect("sent");
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u32().await.expect("a reply") & 0x7fff_ffff;
    let mut reply = vec![0; length as usize];
    stream.read_exact(&mut reply).await.expect("all of it");
    reply
}

#[tokio::test]
async fn programs_versions_and_procedures_that_are_not_there() {
    let export = Export::start().await;
    let mut rpc = RpcClient::new(TokioIo::new(stream(&export).await));
    let call = |program, version, procedure| (program, version, procedure);
    let (p, v, n) = call(100_227, 3, 0);
    assert!(matches!(
        rpc.call::<Void, Void>(p, v, n, &Void).await,
        Err(RpcError::ProgUnavail)
    ));
    for program in [100_003, 100_005] {
        assert!(matches!(
            rpc.call::<Void, Void>(program, 4, 0, &Void).await,
            Err(RpcError::ProgMismatch { low: 3, high: 3 })
        ));
        assert!(matches!(
            rpc.call::<Void, Void>(program, 3, 22, &Void).await,
            Err(RpcError::ProcUnavail)
        ));
    }
    assert!(matches!(
        rpc.call::<Void, Void>(100_003, 3, 1, &Void).await,
        Err(RpcError::GarbageArgs)
    ));
    assert!(matches!(
        rpc.call::<Void, Void>(100_005, 3, 1, &Void).await,
        Err(RpcError::GarbageArgs)
    ));
}

#[tokio::test]
async fn credentials_of_other_flavours_are_refused_except_for_null() {
    let export = Export::start().await;
    let credential = || opaque_auth {
        flavor: auth_flavor::AUTH_DES,
        body: Opaque::borrowed(&[]),
    };
    let io = TokioIo::new(stream(&export).await);
    let mut rpc = RpcClient::new_with_auth(io, credential(), opaque_auth::default());
    rpc.call::<Void, Void>(100_003, 3, 0, &Void)
        .await
        .expect("NULL answers everyone");
    assert!(matches!(
        rpc.call::<Void, Void>(100_003, 3, 1, &Void).await,
        Err(RpcError::Auth(auth_stat::AUTH_REJECTEDCRED))
    ));
}

#[tokio::test]
async fn broken_credentials_and_other_rpc_versions_are_refused() {
    let export = Export::start().await;
    let mut stream = stream(&export).await;
    // AUTH_SYS with a body of four bytes.
    send(
        &mut stream,
        &words(&[5, 0, 2, 100_003, 3, 1, 1, 4, 0, 0, 0]),
    )
    .await;
    assert_eq!(receive(&mut stream).await, words(&[5, 1, 1, 1, 1]));
    send(&mut stream, &words(&[6, 0, 9, 100_003, 3, 1, 0, 0, 0, 0])).await;
    assert_eq!(receive(&mut stream).await, words(&[6, 1, 1, 0, 2, 2]));
}

#[tokio::test]
async fn garbage_ends_the_connection_and_no_other() {
    let export = Export::start().await;
    let mut client = export.root().await;
    for record in [&words(&[1, 1, 0])[..], b"abc"] {
        let mut stream = stream(&export).await;
        send(&mut stream, record).await;
        assert_eq!(stream.read(&mut [0; 4]).await.expect("the end"), 0);
    }
    let mut long = stream(&export).await;
    long.write_u32(0x7fff_ffff).await.unwrap();
    assert_eq!(long.read(&mut [0; 4]).await.expect("the end"), 0);
    let top = client.top.clone();
    client.getattr(&top).await.expect("still served");
}

/// A call of user 0 as it is on the wire.
fn call(xid: u32, procedure: u32, arguments: &impl Pack) -> Vec<u8> {
    let mut record = words(&[xid, 0, 2, 100_003, 3, procedure]);
    opaque_auth::auth_unix(&auth_unix::default())
        .pack(&mut record)
        .expect("encoded");
    opaque_auth::default().pack(&mut record).expect("encoded");
    arguments.pack(&mut record).expect("encoded");
    record
}

fn status(reply: &[u8]) -> nfsstat3 {
    nfsstat3::unpack(&mut &reply[24..]).expect("a status").0
}

fn at(dir: &nfs_fh3, name: &'static str) -> diropargs3<'static> {
    diropargs3 {
        dir: dir.clone(),
        name: filename3::from(name.as_bytes()),
    }
}

#[tokio::test]
async fn a_repeated_change_is_not_done_twice() {
    let export = Export::start().await;
    let mut client = export.root().await;
    let top = client.top.clone();
    client.create(&top, "f", 0o644).await.unwrap();
    let mut stream = stream(&export).await;
    let object = at(&top, "f");
    let record = call(77, 12, &REMOVE3args { object });
    send(&mut stream, &record).await;
    let first = receive(&mut stream).await;
    assert_eq!(status(&first), nfsstat3::NFS3_OK);
    // Made again by someone else; the repeated call must not take it.
    client.create(&top, "f", 0o644).await.unwrap();
    send(&mut stream, &record).await;
    assert_eq!(receive(&mut stream).await, first);
    assert!(export.local("f").exists());
    // Another number is another call.
    let object = at(&top, "f");
    send(&mut stream, &call(78, 12, &REMOVE3args { object })).await;
    assert_eq!(status(&receive(&mut stream).await), nfsstat3::NFS3_OK);
    assert!(!export.local("f").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_one_connection_run_side_by_side() {
    let export = Export::start().await;
    let top = export.root().await.top;
    let mut stream = stream(&export).await;
    let names: Vec<String> = (0..200).map(|index| format!("d{index}")).collect();
    for (xid, name) in (0..).zip(&names) {
        let args = MKDIR3args {
            where_: diropargs3 {
                dir: top.clone(),
                name: filename3::from(name.as_bytes()),
            },
            attributes: mode(0o755),
        };
        send(&mut stream, &call(xid, 9, &args)).await;
    }
    let mut answered = Vec::new();
    for _ in &names {
        let reply = receive(&mut stream).await;
        assert_eq!(status(&reply), nfsstat3::NFS3_OK);
        answered.push(u32::from_be_bytes(reply[..4].try_into().unwrap()));
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..200).collect::<Vec<_>>());
    assert!(names.iter().all(|name| export.local(name).is_dir()));
}

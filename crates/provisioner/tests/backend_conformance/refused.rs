//! Mode and owner refused after a directory is there: what was made is taken back, or said to be
//! left.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use provisioner::backend::direct::{DirectBackend, DirectOptions};
use provisioner::backend::{Attributes, Backend, Cause, Certainty};
use rstest::rstest;
use testbed::faults::nfs::{NfsCall, NfsProxy, Refusal, Status};
use testbed::faults::{Fault, Rule, When};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::subject::{Kind, LIMIT, Subject, direct, options, path, refused};

/// The program number of NFS and the procedure MKDIR (RFC 1813, section 3).
const NFS: u32 = 100_003;
const MKDIR: u32 = 9;
/// What a server gives a new directory whose default wins over the mode that MKDIR asks for.
const DEFAULT_MODE: u32 = 0o700;

/// Where a request says something, in bytes of its record (RFC 5531, section 9).
mod at {
    pub(super) const PROGRAM: usize = 12;
    pub(super) const PROCEDURE: usize = 20;
    pub(super) const CREDENTIALS: usize = 24;
}

fn number(record: &[u8], at: usize) -> Option<u32> {
    let bytes = record.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// What follows an opaque of variable length that begins at `at`.
fn after_opaque(record: &[u8], at: usize) -> Option<usize> {
    let length = usize::try_from(number(record, at)?).ok()?;
    Some(at + 4 + length.next_multiple_of(4))
}

/// Makes a MKDIR ask for the server's default.
fn with_default_mode(record: &mut [u8]) {
    let is_mkdir =
        number(record, at::PROGRAM) == Some(NFS) && number(record, at::PROCEDURE) == Some(MKDIR);
    if !is_mkdir {
        return;
    }
    let record_before = &*record;
    let mode = after_opaque(record_before, at::CREDENTIALS + 4)
        .and_then(|verifier| after_opaque(record_before, verifier + 4))
        .and_then(|handle| after_opaque(record_before, handle))
        .and_then(|name| after_opaque(record_before, name))
        .expect("MKDIR has a handle and a name");
    assert_eq!(number(record, mode), Some(1), "MKDIR gives a mode");
    record[mode + 4..mode + 8].copy_from_slice(&DEFAULT_MODE.to_be_bytes());
}

async fn requests(
    mut client: impl AsyncReadExt + Unpin,
    mut server: impl AsyncWriteExt + Unpin,
) -> io::Result<()> {
    loop {
        let header = client.read_u32().await?;
        let length = usize::try_from(header & 0x7fff_ffff).expect("a record fits the memory");
        let mut record = vec![0; length];
        client.read_exact(&mut record).await?;
        with_default_mode(&mut record);
        server.write_u32(header).await?;
        server.write_all(&record).await?;
    }
}

async fn relay(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    let (mut from_server, to_server) = server.into_split();
    let (from_client, mut to_client) = client.into_split();
    tokio::select! {
        ended = requests(from_client, to_server) => ended,
        ended = tokio::io::copy(&mut from_server, &mut to_client) => ended.map(drop),
    }
}

/// Stands before a server and makes it one with a default mode of its own.
async fn with_a_default(server: SocketAddr) -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(relay(client, server));
        }
    });
    (address, AbortOnDropHandle::new(serving))
}

fn refuse(proxy: &NfsProxy, procedure: &'static str) -> Rule {
    let when = When::every(move |call: &NfsCall| call.procedure == procedure);
    let fault = Fault::Answer(Refusal(Status::NFS3ERR_PERM));
    proxy.plan().set(when, fault)
}

#[tokio::test]
async fn a_mode_that_is_refused_after_mkdir_leaves_nothing_or_is_uncertain() {
    let subject = Subject::new(Kind::Direct).await;
    let server = ([127, 0, 0, 1], subject.export.as_ref().unwrap().port()).into();
    let (defaulting, _serving) = with_a_default(server).await;
    let proxy = NfsProxy::start(defaulting).await.unwrap();
    let backend = direct(proxy.port());
    let make = async |name: &str| backend.make_directory(&path(name), 0o777, LIMIT).await;

    // The control: the mode is set after mkdir.
    make("granted").await.unwrap();
    let stat = backend.stat(&path("granted"), LIMIT).await.unwrap();
    assert_eq!(stat.unwrap().mode, 0o777);
    let setattr = |call: &NfsCall| call.procedure == "SETATTR";
    proxy.plan().logged(0, 1, setattr).await;

    let mode_refused = refuse(&proxy, "SETATTR");
    assert_eq!(refused(make("refused").await), Cause::PermissionDenied);
    assert_eq!(mode_refused.hits(), 1);
    assert!(!subject.exists("refused"), "it was taken back");

    let rmdir_refused = refuse(&proxy, "RMDIR");
    let error = make("stays").await.unwrap_err();
    assert_eq!(
        (error.cause, error.certainty),
        (Cause::PermissionDenied, Certainty::Uncertain)
    );
    assert!(
        error
            .to_string()
            .contains("`stays` was made and stays behind"),
        "{error}"
    );
    assert_eq!(rmdir_refused.hits(), 1);
    assert!(subject.exists("stays"));
}

/// As on an export that squashes root: the caller is nobody in particular, and may give nothing
/// away.
#[rstest]
#[case(Some(1234), None)]
#[case(None, Some(567))]
#[tokio::test]
async fn an_owner_that_is_refused_changes_nothing(
    #[case] uid: Option<u32>,
    #[case] gid: Option<u32>,
) {
    let subject = Subject::new(Kind::Direct).await;
    std::fs::set_permissions(
        subject.root(),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let port = subject.export.as_ref().unwrap().port();
    let backend = DirectBackend::connect(DirectOptions {
        uid: 4711,
        gid: 4711,
        ..options(port)
    })
    .unwrap();
    let new = path("new");
    backend.make_directory(&new, 0o755, LIMIT).await.unwrap();
    let before = backend.stat(&new, LIMIT).await.unwrap();
    let attributes = Attributes {
        mode: Some(0o777),
        uid,
        gid,
    };
    let result = backend.set_attributes(&new, attributes, LIMIT).await;
    assert_eq!(refused(result), Cause::PermissionDenied);
    assert_eq!(backend.stat(&new, LIMIT).await.unwrap(), before);
    backend.remove_directory(&new, LIMIT).await.unwrap();
    assert!(!subject.exists("new"));
}

//! MOUNT v3, and an export's life.

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use nfs3_client::tokio::TokioIo;
use nfs3_client::{MountClient, MountError};
use nfs3_types::mount::{dirpath, mountstat3};
use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;
use rstest::rstest;
use testbed::nfs::{EmbeddedError, EmbeddedExport, ExportOptions};
use tokio::net::TcpStream;

use crate::support::Export;

fn path(path: &str) -> dirpath<'_> {
    dirpath(Opaque::borrowed(path.as_bytes()))
}

async fn mount_client(export: &Export) -> MountClient<TokioIo<TcpStream>> {
    let address = SocketAddr::from(([127, 0, 0, 1], export.server.port()));
    MountClient::new(TokioIo::new(
        TcpStream::connect(address).await.expect("connected"),
    ))
}

#[tokio::test]
async fn exports_and_directories_below_them_are_mounted() {
    let export = Export::start().await;
    std::fs::create_dir_all(export.local("default-x-pvc-1/sub")).unwrap();
    let mut client = mount_client(&export).await;
    client.null().await.expect("an answer");
    let exports = client.export().await.expect("a list").into_inner();
    assert_eq!(exports.len(), 1);
    assert_eq!(exports[0].ex_dir.0.as_ref(), b"/export");

    let root = || opaque_auth::auth_unix(&auth_unix::default());
    let mut below = export.mount("/export/default-x-pvc-1", root()).await;
    let top = below.top.clone();
    let sub = below.lookup(&top, "sub").await;
    let deeper = export.mount("/export/default-x-pvc-1/sub/", root()).await;
    assert_eq!(sub, Ok(deeper.top.clone()));
}

#[rstest]
#[case::missing("/export/gone", mountstat3::MNT3ERR_NOENT)]
#[case::a_file("/export/file", mountstat3::MNT3ERR_NOTDIR)]
#[case::a_link("/export/link", mountstat3::MNT3ERR_NOTDIR)]
#[case::not_exported("/etc", mountstat3::MNT3ERR_ACCES)]
#[case::prefix_of_a_name("/exported", mountstat3::MNT3ERR_ACCES)]
#[case::up_and_out("/export/../etc", mountstat3::MNT3ERR_ACCES)]
#[tokio::test]
async fn other_paths_are_denied(#[case] wanted: &str, #[case] expected: mountstat3) {
    let export = Export::start().await;
    std::fs::write(export.local("file"), "").unwrap();
    std::os::unix::fs::symlink("/", export.local("link")).unwrap();
    let mut client = mount_client(&export).await;
    match client.mnt(path(wanted)).await {
        Err(MountError::Denied(status)) => assert_eq!(status as u32, expected as u32),
        other => panic!("{wanted}: {other:?}"),
    }
}

#[tokio::test]
async fn the_list_of_mounts() {
    let export = Export::start().await;
    std::fs::create_dir(export.local("a")).unwrap();
    let mut client = mount_client(&export).await;
    client.mnt(path("/export")).await.expect("mounted");
    client.mnt(path("/export/a")).await.expect("mounted");
    let list = client.dump().await.expect("a list").into_inner();
    let paths: Vec<&[u8]> = list
        .iter()
        .map(|entry| entry.ml_directory.0.as_ref())
        .collect();
    assert_eq!(paths, [&b"/export"[..], b"/export/a"]);
    client.umnt(path("/export")).await.expect("unmounted");
    assert_eq!(client.dump().await.expect("a list").into_inner().len(), 1);
    client.umntall().await.expect("unmounted");
    assert!(client.dump().await.expect("a list").is_empty());
}

fn options(directory: &str, export_path: &str) -> ExportOptions {
    ExportOptions {
        directory: Utf8PathBuf::from(directory),
        export_path: export_path.to_owned(),
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        root_squash: false,
    }
}

#[tokio::test]
async fn what_cannot_be_exported_is_named() {
    let error = EmbeddedExport::start(options("/no/such/directory", "/export"))
        .await
        .expect_err("no directory");
    assert!(matches!(error, EmbeddedError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/directory"));
    for wrong in ["export", "/export/", "/a/../b", ""] {
        let error = EmbeddedExport::start(options("/tmp", wrong))
            .await
            .expect_err("no path");
        assert!(matches!(error, EmbeddedError::Path { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_stopped_export_leaves_no_connection_and_frees_its_port() {
    let export = Export::start().await;
    let port = export.server.port();
    let mut client = export.root().await;
    export.server.stop().await;
    assert!(client.connection.client_is_gone().await);
    tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
}

trait Gone {
    async fn client_is_gone(&mut self) -> bool;
}

impl Gone for nfs3_client::Nfs3Connection<TokioIo<TcpStream>> {
    /// The library spins at the end of a stream, so an answer is not waited for long.
    async fn client_is_gone(&mut self) -> bool {
        let answer = self.null();
        !matches!(
            tokio::time::timeout(std::time::Duration::from_millis(300), answer).await,
            Ok(Ok(()))
        )
    }
}

//! A mounted connection, with time limits and without the traps of the client library.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use nfs3_client::net::Connector;
use nfs3_client::{ConnectError, Nfs3Client, Nfs3ConnectionBuilder};
use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ViewError;
use crate::nfs::ExportTarget;

/// How long a call may take, and how long a mount may.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// The user of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A stream that tells its end. The library reads on after the end of a stream and would spin.
pub(crate) struct Stream(TcpStream);

impl AsyncRead for Stream {
    async fn async_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf).await? {
            0 if !buf.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

impl AsyncWrite for Stream {
    async fn async_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.0.write(buf).await? {
            0 if !buf.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }
}

/// Connects from any port, so that no privilege is needed.
struct AnyPort;

impl Connector for AnyPort {
    type Connection = Stream;

    async fn connect(&self, addr: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Stream(stream))
    }

    async fn connect_with_port(&self, _addr: SocketAddr, _local_port: u16) -> io::Result<Stream> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a privileged source port is never asked for",
        ))
    }
}

/// A mounted export.
pub(crate) struct Connection {
    pub(crate) client: Nfs3Client<Stream>,
    pub(crate) root: nfs_fh3,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Host, port and path, for messages.
pub(crate) fn name(target: &ExportTarget) -> String {
    format!("{}:{}:{}", target.host, target.port, target.path)
}

/// Mounts the export as `user`, within `limit`.
pub(crate) async fn mount(
    target: &ExportTarget,
    user: &User,
    limit: Duration,
) -> Result<Connection, ViewError> {
    match tokio::time::timeout(limit, mount_unlimited(target, user)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ViewError::Timeout {
            operation: "MNT",
            path: String::new(),
            export: name(target),
            limit,
        }),
    }
}

async fn mount_unlimited(target: &ExportTarget, user: &User) -> Result<Connection, ViewError> {
    let resolve = |source| ViewError::Resolve {
        host: target.host.clone(),
        source,
    };
    // The library takes addresses only.
    let address = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(resolve)?
        .next()
        .ok_or_else(|| resolve(io::ErrorKind::NotFound.into()))?;
    let credential = opaque_auth::auth_unix(&auth_unix {
        stamp: 0,
        machinename: Opaque::borrowed(b"claimcheck"),
        uid: user.uid,
        gid: user.gid,
        gids: user.groups.clone(),
    });
    let mounted = Nfs3ConnectionBuilder::new(AnyPort, address.ip().to_string(), &target.path)
        .mount_port(target.mount_port)
        .nfs3_port(target.port)
        .connect_from_privileged_port(false)
        .credential(credential)
        .mount()
        .await
        .map_err(|source: ConnectError| ViewError::Mount {
            export: name(target),
            source,
        })?;
    let root = mounted.root_nfs_fh3();
    Ok(Connection {
        client: mounted.into_nfs3_client(),
        root,
    })
}

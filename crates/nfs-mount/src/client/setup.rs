//! From a server's name to an export's root: port mapper (RFC 1057, appendix A), MOUNT (RFC 1813,
//! appendix I), and what the server says about itself.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use nfs3_types::mount::{self, MOUNT_PROGRAM, dirpath, mountres3};
use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::portmap::{self, IPPROTO_TCP, PMAP_PORT, PMAP_PROG, mapping};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};

use crate::error::MountError;
use crate::identity::Credential;
use crate::options::Options;
use crate::rpc::{self, Connection, Message, Socket, decode_reply};
use crate::source::Source;

/// How long the first contact may take, for each step.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the port mapper may take: without one, the usual ports serve.
const PORT_MAPPER_LIMIT: Duration = Duration::from_secs(2);
/// The registered port of NFS.
const NFS_PORT: u16 = 2049;
/// The port that many servers fix MOUNT to.
const MOUNT_PORT: u16 = 20048;
/// `AUTH_SYS` in the list of flavours that an export takes.
const AUTH_SYS: u32 = 1;

/// Where a server's services are.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The server's name for messages.
    pub(crate) host: String,
    /// The exported path.
    pub(crate) path: String,
    /// Where NFS is.
    pub(crate) nfs: SocketAddr,
    /// Where MOUNT is.
    pub(crate) mount: SocketAddr,
    /// How connections are made.
    pub(crate) socket: Socket,
}

/// What the server allows (RFC 1813, sections 3.3.19 and 3.3.20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most data of one READ, in bytes.
    pub(crate) read: u32,
    /// The most data of one WRITE, in bytes.
    pub(crate) write: u32,
    /// The longest name, in bytes.
    pub(crate) name: u32,
}

/// An export that was found.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    /// Where it is.
    pub(crate) server: Server,
    /// The handle of its root.
    pub(crate) root: nfs_fh3,
}

/// Finds the server and mounts the export. Within `retry` it is tried again when the server can't
/// be reached; a refusal is final.
pub(crate) fn find(source: &Source, options: &Options) -> Result<Export, MountError> {
    let until = Instant::now() + options.mount_retry;
    loop {
        match attempt(source, options) {
            Err(error @ (MountError::Unreachable { .. } | MountError::Resolve { .. }))
                if Instant::now() < until =>
            {
                tracing::warn!(error = error.text(), "trying again");
                std::thread::sleep(Duration::from_secs(1));
            }
            result => return result,
        }
    }
}

fn attempt(source: &Source, options: &Options) -> Result<Export, MountError> {
    let mut last = None;
    for address in addresses(source, options)? {
        let server = locate(source, options, address);
        match server.mount() {
            Ok(root) => return Ok(Export { server, root }),
            Err(error @ MountError::Unreachable { .. }) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| MountError::Resolve {
        host: source.host.clone(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

fn addresses(source: &Source, options: &Options) -> Result<Vec<SocketAddr>, MountError> {
    if let Some(address) = options.address {
        return Ok(vec![SocketAddr::new(address, 0)]);
    }
    (source.host.as_str(), 0)
        .to_socket_addrs()
        .map(Iterator::collect)
        .map_err(|error| MountError::Resolve {
            host: source.host.clone(),
            source: error,
        })
}

/// The ports: given ones, else those the port mapper tells, else the usual ones.
fn locate(source: &Source, options: &Options, address: SocketAddr) -> Server {
    let socket = Socket {
        from: options.client_address,
        privileged: options.privileged_port,
        limit: LIMIT,
    };
    let at = |port| SocketAddr::new(address.ip(), port);
    let (mut nfs, mut mount) = (options.port, options.mount_port);
    if nfs.is_none() || mount.is_none() {
        let mapper = Socket {
            privileged: false,
            limit: PORT_MAPPER_LIMIT,
            ..socket
        };
        match ask_port_mapper(at(PMAP_PORT), &mapper) {
            Ok((nfs_found, mount_found)) => {
                nfs = nfs.or(nfs_found);
                mount = mount.or(mount_found);
            }
            Err(error) => tracing::debug!(%error, "no port mapper"),
        }
    }
    let nfs = nfs.unwrap_or(NFS_PORT);
    let mount = mount.unwrap_or(MOUNT_PORT);
    Server {
        host: source.host.clone(),
        path: source.path.clone(),
        nfs: at(nfs),
        mount: at(mount),
        socket,
    }
}

fn ask_port_mapper(address: SocketAddr, socket: &Socket) -> io::Result<(Option<u16>, Option<u16>)> {
    let stream = rpc::connect(address, socket)?;
    let connection = Connection::start(stream)?;
    let mut ports = [None; 2];
    let programs = [
        (nfs3_types::nfs3::PROGRAM, nfs3_types::nfs3::VERSION),
        (mount::PROGRAM, mount::VERSION),
    ];
    for ((prog, vers), port) in programs.into_iter().zip(&mut ports) {
        let asked = mapping {
            prog,
            vers,
            prot: IPPROTO_TCP,
            port: 0,
        };
        let found: u32 = ask(
            &connection,
            (
                portmap::PROGRAM,
                portmap::VERSION,
                PMAP_PROG::PMAPPROC_GETPORT as u32,
            ),
            &asked,
            PORT_MAPPER_LIMIT,
        )?;
        *port = u16::try_from(found).ok().filter(|port| *port != 0);
    }
    Ok((ports[0], ports[1]))
}

/// One call on a connection of its own, as user 0.
fn ask<R: Unpack>(
    connection: &Connection,
    target: (u32, u32, u32),
    arguments: &impl Pack,
    limit: Duration,
) -> io::Result<R> {
    let xid = u32::from(rpc::random16());
    let message =
        Message::new(xid, target, &Credential::root(), arguments).map_err(io::Error::other)?;
    let reply = connection
        .send(xid, message)
        .recv_timeout(limit)
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    decode_reply(&reply).map_err(io::Error::other)
}

impl Server {
    fn connect_to_mount(&self) -> io::Result<Connection> {
        let stream: TcpStream = rpc::connect(self.mount, &self.socket)?;
        Connection::start(stream)
    }

    /// Mounts the export: the handle of its root.
    pub(crate) fn mount(&self) -> Result<nfs_fh3, MountError> {
        let unreachable = |source| MountError::Unreachable {
            service: "MOUNT",
            address: self.mount,
            source,
        };
        let refused = |status: String| MountError::Refused {
            server: self.host.clone(),
            path: self.path.clone(),
            status,
        };
        let connection = self.connect_to_mount().map_err(unreachable)?;
        let result: mountres3<'_> = ask(
            &connection,
            (
                mount::PROGRAM,
                mount::VERSION,
                MOUNT_PROGRAM::MOUNTPROC3_MNT as u32,
            ),
            &dirpath(Opaque::borrowed(self.path.as_bytes())),
            LIMIT,
        )
        .map_err(unreachable)?;
        match result {
            mountres3::Ok(found) => {
                let flavours = &found.auth_flavors;
                if !flavours.is_empty() && !flavours.contains(&AUTH_SYS) {
                    return Err(refused(format!(
                        "it takes authentication flavours {flavours:?} only, and AUTH_SYS (1) is \
                         what is spoken here"
                    )));
                }
                Ok(nfs_fh3 {
                    data: found.fhandle.0,
                })
            }
            mountres3::Err(status) => Err(refused(status.to_string())),
        }
    }

    /// Tells the server that the mount is gone. It keeps a list for people only, so nothing
    /// depends on it.
    pub(crate) fn unmount(&self) {
        let limit = Duration::from_secs(1);
        let socket = Socket {
            limit,
            ..self.socket
        };
        let told = rpc::connect(self.mount, &socket)
            .and_then(Connection::start)
            .and_then(|connection| {
                ask::<Void>(
                    &connection,
                    (
                        mount::PROGRAM,
                        mount::VERSION,
                        MOUNT_PROGRAM::MOUNTPROC3_UMNT as u32,
                    ),
                    &dirpath(Opaque::borrowed(self.path.as_bytes())),
                    limit,
                )
            });
        if let Err(error) = told {
            tracing::debug!(%error, "server was not told of the unmount");
        }
    }
}

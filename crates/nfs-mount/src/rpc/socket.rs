//! Making a TCP connection, from a privileged port where that is possible.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, TcpKeepalive, Type};

/// The privileged ports that are tried, as the kernel's client does (nfs(5), "resvport").
const PRIVILEGED: std::ops::RangeInclusive<u16> = 665..=1023;

/// How a connection is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Socket {
    /// Address to call from.
    pub(crate) from: Option<IpAddr>,
    /// Whether a privileged port is tried first.
    pub(crate) privileged: bool,
    /// How long the attempt may take.
    pub(crate) limit: Duration,
}

/// Connects. Without the right to a privileged port, or when they are all taken, any port serves:
/// the server then decides whether it minds (`insecure` in exports(5)).
pub(crate) fn connect(address: SocketAddr, how: &Socket) -> io::Result<TcpStream> {
    let first = PRIVILEGED.start() + super::link::random16() % PRIVILEGED.len_u16();
    if how.privileged {
        for step in 0..PRIVILEGED.len_u16() {
            let port =
                PRIVILEGED.start() + (first - PRIVILEGED.start() + step) % PRIVILEGED.len_u16();
            match attempt(address, how, port) {
                Err(error)
                    if matches!(
                        error.kind(),
                        // The second comes from a connection with the same four numbers.
                        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
                    ) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                result => return result,
            }
        }
    }
    attempt(address, how, 0)
}

trait Length {
    fn len_u16(&self) -> u16;
}

impl Length for std::ops::RangeInclusive<u16> {
    fn len_u16(&self) -> u16 {
        self.end() - self.start() + 1
    }
}

fn attempt(address: SocketAddr, how: &Socket, port: u16) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    let any: IpAddr = match address {
        SocketAddr::V4(_) => [0, 0, 0, 0].into(),
        SocketAddr::V6(_) => [0_u16; 8].into(),
    };
    let from = how.from.filter(|from| from.is_ipv4() == address.is_ipv4());
    if port != 0 || from.is_some() {
        // Without it a port that waits for late packets of an earlier connection can't be used.
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(SocketAddr::new(from.unwrap_or(any), port)))?;
    }
    socket.connect_timeout(&SockAddr::from(address), how.limit)?;
    socket.set_tcp_nodelay(true)?;
    // A server that vanished while nothing was asked is noticed before somebody waits for it.
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(10))
            .with_retries(3),
    )?;
    Ok(socket.into())
}

//! A port for servers that come and go.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A TCP port of the loopback address that stays its owner's while no server listens on it.
///
/// A port that the system chose goes back to the system as soon as its server stops, and the next
/// server may find that somebody else was given it. This one is kept by a socket that is bound and
/// never listens: the system gives it to nobody (bind(2) with port 0, connect(2)), servers that set
/// `SO_REUSEADDR`, as those of std and tokio do, can listen on it one after the other, and between
/// them connections are refused.
#[derive(Debug)]
pub struct KeptPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl KeptPort {
    /// Keeps a port that the system chooses.
    ///
    /// # Errors
    /// No port can be had.
    pub fn any() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        Ok(Self {
            _socket: socket,
            address,
        })
    }

    /// Where servers are to listen.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number.
    pub const fn number(&self) -> u16 {
        self.address.port()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn servers_take_turns_and_between_them_connections_are_refused() {
        let port = KeptPort::any().unwrap();
        for _ in 0..3 {
            let server = TcpListener::bind(port.address()).await.unwrap();
            let client = TcpStream::connect(port.address()).await.unwrap();
            let (peer, _) = server.accept().await.unwrap();
            drop((server, peer, client));
            let refused = TcpStream::connect(port.address()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
    }

    /// Without connections, whose ends would keep the port for a while too.
    #[tokio::test]
    async fn after_a_server_the_port_is_kept_until_it_is_dropped() {
        let port = KeptPort::any().unwrap();
        let address = port.address();
        drop(TcpListener::bind(address).await.unwrap());
        assert!(!is_free(address));
        drop(port);
        assert!(is_free(address));
    }

    /// Whether a socket that shares with nobody can have it.
    fn is_free(address: SocketAddr) -> bool {
        let other = TcpSocket::new_v4().unwrap();
        other.set_reuseaddr(false).unwrap();
        other.bind(address).is_ok()
    }
}

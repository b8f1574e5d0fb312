//! Free TCP and UDP ports on the loopback address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// How often a free port that is free for UDP too is looked for.
const TRIES: usize = 50;

/// A port that is kept from others until it is released to the process that will listen on it.
#[derive(Debug)]
pub(crate) struct Port {
    tcp: TcpListener,
    _udp: UdpSocket,
    number: u16,
}

impl Port {
    /// Gives the port up and returns its number. Between this and the process's own bind another
    /// process may take it; who starts the process must look for that.
    pub(crate) fn release(self) -> u16 {
        drop(self.tcp);
        self.number
    }

    /// The number, while the port stays reserved.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// Reserves `COUNT` ports of 127.0.0.1 at once, each for TCP and UDP, all different.
pub(crate) fn reserve<const COUNT: usize>() -> io::Result<[Port; COUNT]> {
    let mut ports = Vec::with_capacity(COUNT);
    while ports.len() < COUNT {
        ports.push(reserve_one()?);
    }
    // The vector has COUNT items by construction.
    ports
        .try_into()
        .map_err(|_| io::Error::other("the wrong number of ports"))
}

fn reserve_one() -> io::Result<Port> {
    let mut last = io::Error::other("no port was tried");
    for _ in 0..TRIES {
        let tcp = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = tcp.local_addr()?;
        match UdpSocket::bind(address) {
            Ok(udp) => {
                return Ok(Port {
                    tcp,
                    _udp: udp,
                    number: address.port(),
                });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_taken_until_it_is_released() {
        let [one, two] = reserve::<2>().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, one.number()));
        assert_ne!(one.number(), two.number());
        assert!(TcpListener::bind(address).is_err());
        assert!(UdpSocket::bind(address).is_err());
        one.release();
        TcpListener::bind(address).unwrap();
        UdpSocket::bind(address).unwrap();
    }
}

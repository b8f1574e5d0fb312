//! What stands between mount and server: it can be silent, lose replies, and be restarted like a
//! server that forgets what was not committed.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use testbed::nfs::embedded::KeptPort;

/// Procedures of NFS v3.
pub(crate) const WRITE: u32 = 7;
pub(crate) const CREATE: u32 = 8;
pub(crate) const REMOVE: u32 = 12;
pub(crate) const RENAME: u32 = 14;
pub(crate) const READ: u32 = 6;
pub(crate) const COMMIT: u32 = 21;

#[derive(Default)]
struct Shared {
    /// Replies are held back.
    silent: AtomicBool,
    /// Differs from start to start.
    boots: AtomicU64,
    /// The procedure whose next reply is lost, and the connection with it.
    lose: Mutex<Option<u32>>,
    /// How long replies of a procedure take longer.
    slow: Mutex<Option<(u32, Duration)>>,
    streams: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
    calls: Mutex<HashMap<u32, u64>>,
}

/// A relay to a server.
pub(crate) struct Front {
    shared: Arc<Shared>,
    port: KeptPort,
    server: Arc<Mutex<SocketAddr>>,
    accepting: Option<JoinHandle<()>>,
}

impl Front {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let mut front = Self {
            shared: Arc::default(),
            port: KeptPort::any().expect("a port"),
            server: Arc::new(Mutex::new(server)),
            accepting: None,
        };
        front.start();
        front
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// How many calls of a procedure came by.
    pub(crate) fn calls(&self, procedure: u32) -> u64 {
        let calls = held(&self.shared.calls);
        calls.get(&procedure).copied().unwrap_or(0)
    }

    /// From now on nothing is answered, until `false`. Replies are lost, not late.
    pub(crate) fn silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
        if !silent {
            // What was asked meanwhile will never be answered over these.
            self.cut();
        }
    }

    pub(crate) fn lose_reply_of(&self, procedure: u32) {
        *held(&self.shared.lose) = Some(procedure);
    }

    pub(crate) fn has_lost(&self) -> bool {
        held(&self.shared.lose).is_none()
    }

    pub(crate) fn slow_down(&self, procedure: u32, by: Duration) {
        *held(&self.shared.slow) = Some((procedure, by));
    }

    /// New connections go to another server; the old ones end.
    pub(crate) fn leads_to(&self, server: SocketAddr) {
        *held(&self.server) = server;
        self.cut();
    }

    fn cut(&self) {
        for stream in held(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The server is gone: connections end, new ones are refused.
    pub(crate) fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.port.address()));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().expect("front");
        }
        self.cut();
    }

    /// The server is back, on the same port, and as a new one: with another write verifier.
    pub(crate) fn start(&mut self) {
        let listener = TcpListener::bind(self.port.address()).expect("bind");
        self.shared.stopping.store(false, Ordering::SeqCst);
        self.shared.boots.fetch_add(1, Ordering::SeqCst);
        let (shared, server) = (Arc::clone(&self.shared), Arc::clone(&self.server));
        self.accepting = Some(thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stopping.load(Ordering::SeqCst) {
                    return;
                }
                let server = *held(&server);
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
                    continue;
                };
                relay(&shared, &client, &server);
            }
        }));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.stop();
        }
    }
}

fn relay(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream) {
    client.set_nodelay(true).expect("nodelay");
    server.set_nodelay(true).expect("nodelay");
    let copy = |stream: &TcpStream| stream.try_clone().expect("clone");
    let asked: Arc<Mutex<HashMap<u32, u32>>> = Arc::default();
    held(&shared.streams).extend([copy(client), copy(server)]);
    let (mut from, mut to) = (copy(client), copy(server));
    let (calls, noted) = (Arc::clone(shared), Arc::clone(&asked));
    thread::spawn(move || {
        while let Ok(record) = read_record(&mut from) {
            // xid, CALL, RPC version, program, version, procedure.
            let (xid, program, procedure) = (word(&record, 0), word(&record, 3), word(&record, 5));
            if program == 100_003 {
                held(&noted).insert(xid, procedure);
                *held(&calls.calls).entry(procedure).or_default() += 1;
            }
            if write_record(&mut to, &record).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, to) = (copy(server), copy(client));
    let shared = Arc::clone(shared);
    let boots = shared.boots.load(Ordering::SeqCst);
    thread::spawn(move || {
        while let Ok(mut record) = read_record(&mut from) {
            let procedure = held(&asked).remove(&word(&record, 0));
            if shared.silent.load(Ordering::SeqCst) {
                continue;
            }
            let mut lose = held(&shared.lose);
            if procedure.is_some() && *lose == procedure {
                *lose = None;
                break;
            }
            drop(lose);
            // The status follows xid, REPLY, MSG_ACCEPTED, an empty verifier (two words), SUCCESS.
            if matches!(procedure, Some(WRITE | COMMIT)) && word(&record, 6) == 0 {
                let end = record.len();
                for (byte, mask) in record[end - 8..].iter_mut().zip(boots.to_be_bytes()) {
                    *byte ^= mask;
                }
            }
            let slow = *held(&shared.slow);
            let mut to = to.try_clone().expect("clone");
            match slow {
                Some((slow, by)) if procedure == Some(slow) => {
                    thread::spawn(move || {
                        thread::sleep(by);
                        let _ = write_record(&mut to, &record);
                    });
                }
                _ => {
                    if write_record(&mut to, &record).is_err() {
                        break;
                    }
                }
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of the front panics")
}

fn word(record: &[u8], at: usize) -> u32 {
    record.get(at * 4..at * 4 + 4).map_or(0, |bytes| {
        u32::from_be_bytes(bytes.try_into().expect("four"))
    })
}

fn read_record(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark)?;
        let mark = u32::from_be_bytes(mark);
        let start = record.len();
        record.resize(start + (mark & 0x7fff_ffff) as usize, 0);
        stream.read_exact(&mut record[start..])?;
        if mark & 0x8000_0000 != 0 {
            return Ok(record);
        }
    }
}

fn write_record(stream: &mut TcpStream, record: &[u8]) -> io::Result<()> {
    let mark = u32::try_from(record.len()).expect("short") | 0x8000_0000;
    let mut framed = mark.to_be_bytes().to_vec();
    framed.extend(record);
    stream.write_all(&framed)
}

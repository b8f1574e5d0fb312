//! A wire that loses what it is told to: it passes RPC records on and counts procedures.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What to lose, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The request reaches the server, the answer is lost with the connection.
    Answer(u32),
    /// The connection ends before the request reaches the server.
    Request(u32),
}

/// Program number of NFS, RFC 1813 section 1.1.
const NFS: u32 = 100_003;

pub(crate) const MKDIR: u32 = 9;
pub(crate) const REMOVE: u32 = 12;
pub(crate) const RENAME: u32 = 14;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    loss: Arc<Mutex<Option<Loss>>>,
    _connections: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let loss = Arc::new(Mutex::new(None));
        let mut connections = JoinSet::new();
        let shared = Arc::clone(&loss);
        connections.spawn(async move {
            let mut each = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                each.spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Self {
            port,
            loss,
            _connections: connections,
        }
    }

    /// Loses the next matching call.
    pub(crate) fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = Some(loss);
    }

    /// Whether what was to be lost is lost.
    pub(crate) fn lost(&self) -> bool {
        self.loss.lock().unwrap().is_none()
    }
}

async fn pass(client: TcpStream, server: SocketAddr, loss: Arc<Mutex<Option<Loss>>>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    // Mark and record are two writes; Nagle would hold the second back.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (swallow, mut swallowed) = mpsc::unbounded_channel::<[u8; 4]>();
    let requests = async {
        while let Some(record) = read(&mut from_client).await {
            let word = |at: usize| u32::from_be_bytes(record[at..at + 4].try_into().unwrap());
            let (program, procedure) = (word(12), word(20));
            let hit = {
                let mut loss = loss.lock().unwrap();
                match *loss {
                    Some(Loss::Answer(wanted) | Loss::Request(wanted))
                        if program == NFS && procedure == wanted =>
                    {
                        loss.take()
                    }
                    _ => None,
                }
            };
            match hit {
                Some(Loss::Request(_)) => return,
                Some(Loss::Answer(_)) => {
                    swallow.send(record[..4].try_into().unwrap()).unwrap();
                }
                None => {}
            }
            if write(&mut to_server, &record).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        while let Some(record) = read(&mut from_server).await {
            if swallowed.try_recv().is_ok_and(|xid| xid == record[..4]) {
                return;
            }
            if write(&mut to_client, &record).await.is_err() {
                return;
            }
        }
    };
    // Whichever side ends takes the other one with it.
    tokio::select! { () = requests => {}, () = answers => {} }
}

/// One record without its mark (RFC 5531 section 11); the client sends single fragments.
async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mark = stream.read_u32().await.ok()?;
        let start = record.len();
        record.resize(start + (mark & 0x7fff_ffff) as usize, 0);
        stream.read_exact(&mut record[start..]).await.ok()?;
        if mark & 0x8000_0000 != 0 {
            return Some(record);
        }
    }
}

async fn write(stream: &mut (impl AsyncWriteExt + Unpin), record: &[u8]) -> std::io::Result<()> {
    let mark = 0x8000_0000 | u32::try_from(record.len()).unwrap();
    stream.write_u32(mark).await?;
    stream.write_all(record).await
}

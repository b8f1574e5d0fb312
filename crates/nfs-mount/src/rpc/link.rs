//! The link to a server: a connection that is made anew whenever it breaks.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::message::Message;
use super::patience::{Ended, Patience, TICK};
use super::socket::{Socket, connect};

/// How long a server may be silent before that is said.
const SILENCE: Duration = Duration::from_secs(2);
/// How often it is said again.
const REMINDER: Duration = Duration::from_mins(1);
/// Pauses between attempts to connect: they grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A number that differs from start to start.
pub(crate) fn random64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The same in 16 bits.
pub(crate) fn random16() -> u16 {
    let [.., high, low] = random64().to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Where the server is and how it is called.
#[derive(Debug, Clone)]
pub(crate) struct LinkOptions {
    /// Name or address; resolved anew for each connection.
    pub(crate) host: String,
    /// An address that replaces the name.
    pub(crate) address: Option<IpAddr>,
    /// TCP port.
    pub(crate) port: u16,
    /// How connections are made.
    pub(crate) socket: Socket,
    /// How long the server may be silent before the connection is given up.
    pub(crate) timeout: Duration,
    /// How long a call lasts at most; `None` for ever.
    pub(crate) limit: Option<Duration>,
}

/// Why a call has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Its caller was killed.
    Killed,
    /// The time was over.
    TimeOver,
    /// The mount is gone.
    Closed,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The whole record.
    pub(crate) record: Vec<u8>,
    /// Whether the call was sent more than once, so that it may have been carried out before.
    pub(crate) repeated: bool,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    connecting: bool,
    /// The address of the last connection, for when the name service fails.
    last: Option<SocketAddr>,
    /// Since when there is trouble, and when it was said last.
    trouble: Option<(Instant, Instant)>,
}

/// A link to a server.
#[derive(Debug)]
pub(crate) struct Link {
    options: LinkOptions,
    state: Mutex<State>,
    changed: Condvar,
    closed: AtomicBool,
    /// Whether the server is silent or can't be reached.
    silent: AtomicBool,
    /// How many connections there have been.
    connections: AtomicU64,
    waiting: AtomicUsize,
    next: AtomicU32,
}

impl Link {
    /// A link that connects when it is first used.
    pub(crate) fn new(options: LinkOptions) -> Arc<Self> {
        let [.., a, b, c, d] = random64().to_be_bytes();
        Arc::new(Self {
            options,
            state: Mutex::default(),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            next: AtomicU32::new(u32::from_be_bytes([a, b, c, d])),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new call.
    pub(crate) fn next_xid(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many connections there have been: while it stays the same, the server was not restarted.
    pub(crate) fn epoch(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Whether the server is known to be silent or out of reach.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }

    /// Whether the link was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends all calls, now and later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Some(connection) = self.state().connection.take() {
            connection.close();
        }
        self.changed.notify_all();
    }

    /// Makes a call and waits for its reply, through as many connections as it takes.
    pub(crate) fn call(
        self: &Arc<Self>,
        xid: u32,
        message: &Message,
        patience: &Patience,
    ) -> Result<Answer, CallError> {
        let patience = patience.within(self.options.limit);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let result = self.exchange(xid, message, &patience);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn exchange(
        self: &Arc<Self>,
        xid: u32,
        message: &Message,
        patience: &Patience,
    ) -> Result<Answer, CallError> {
        let mut repeated = false;
        loop {
            let connection = self.connection(patience)?;
            let reply = connection.send(xid, message.clone());
            let sent = Instant::now();
            loop {
                match reply.recv_timeout(patience.next_look()) {
                    Ok(record) => {
                        self.heard();
                        return Ok(Answer { record, repeated });
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        let silent = sent.elapsed().min(connection.silent_for());
                        if silent >= SILENCE {
                            self.trouble("does not answer");
                        }
                        if let Err(error) = self.look(patience) {
                            connection.forget(xid);
                            return Err(error);
                        }
                        if silent >= self.options.timeout {
                            connection.close();
                        }
                    }
                }
            }
            if self.is_closed() {
                return Err(CallError::Closed);
            }
            repeated = true;
        }
    }

    /// Whether a wait goes on.
    fn look(&self, patience: &Patience) -> Result<(), CallError> {
        if self.is_closed() {
            return Err(CallError::Closed);
        }
        match patience.ended(self.is_silent()) {
            None => Ok(()),
            Some(Ended::Killed) => Err(CallError::Killed),
            Some(Ended::TimeOver) => Err(CallError::TimeOver),
        }
    }

    /// A connection that is alive.
    fn connection(self: &Arc<Self>, patience: &Patience) -> Result<Arc<Connection>, CallError> {
        let mut state = self.state();
        loop {
            if let Some(connection) = state.connection.as_ref().filter(|it| it.is_alive()) {
                return Ok(Arc::clone(connection));
            }
            if self.is_closed() {
                return Err(CallError::Closed);
            }
            if !state.connecting {
                state.connecting = true;
                let link = Arc::clone(self);
                let started = thread::Builder::new()
                    .name("nfs-connect".to_owned())
                    .spawn(move || link.reconnect());
                if let Err(error) = started {
                    tracing::warn!(%error, "no thread to connect with");
                    state.connecting = false;
                }
            }
            state = self
                .changed
                .wait_timeout(state, patience.next_look())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if !state.connection.as_ref().is_some_and(|it| it.is_alive()) {
                drop(state);
                self.look(patience)?;
                state = self.state();
            }
        }
    }

    /// Tries to connect until it works, the link is closed, or nobody waits any more.
    fn reconnect(self: Arc<Self>) {
        let mut pause = PAUSES.0;
        let result = loop {
            match self.attempt() {
                Ok(connected) => break Some(connected),
                Err(error) => self.trouble(&error.to_string()),
            }
            let state = self.state();
            if !self.is_closed() && self.waiting.load(Ordering::SeqCst) > 0 {
                let (_state, _) = self
                    .changed
                    .wait_timeout_while(state, pause, |_| !self.is_closed())
                    .unwrap_or_else(PoisonError::into_inner);
                pause = (pause * 2).min(PAUSES.1);
                if !self.is_closed() {
                    continue;
                }
            }
            break None;
        };
        let mut state = self.state();
        state.connecting = false;
        if let Some((connection, address)) = result {
            state.last = Some(address);
            if self.is_closed() {
                connection.close();
            } else {
                tracing::debug!(%address, "connected");
                // Before the first call on it: a reply from a new connection shows a new number.
                self.connections.fetch_add(1, Ordering::SeqCst);
                state.connection = Some(Arc::new(connection));
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn attempt(&self) -> io::Result<(Connection, SocketAddr)> {
        let mut last_error = io::Error::from(io::ErrorKind::NotFound);
        for address in self.addresses()? {
            match connect(address, &self.options.socket).and_then(Connection::start) {
                Ok(connection) => return Ok((connection, address)),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// Where the server may be. When the name service fails, it is where it was.
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.options.address {
            return Ok(vec![SocketAddr::new(address, self.options.port)]);
        }
        match (self.options.host.as_str(), self.options.port).to_socket_addrs() {
            Ok(found) => Ok(found.collect()),
            Err(error) => match self.state().last {
                Some(last) => Ok(vec![last]),
                None => Err(error),
            },
        }
    }

    /// Notes that the server is silent, and says so: at once, and again as long as it lasts.
    fn trouble(&self, why: &str) {
        self.silent.store(true, Ordering::SeqCst);
        let (host, waiting) = (&self.options.host, self.waiting.load(Ordering::SeqCst));
        let now = Instant::now();
        let mut state = self.state();
        match &mut state.trouble {
            None => {
                state.trouble = Some((now, now));
                tracing::warn!(server = %host, waiting, why, "server is silent, still trying");
            }
            Some((since, said)) if said.elapsed() >= REMINDER => {
                *said = now;
                let silent = since.elapsed();
                tracing::warn!(server = %host, waiting, why, ?silent, "server is still silent");
            }
            Some(_) => {}
        }
    }

    fn heard(&self) {
        if self.silent.swap(false, Ordering::SeqCst)
            && let Some((since, _)) = self.state().trouble.take()
        {
            let silent = since.elapsed();
            tracing::warn!(server = %self.options.host, ?silent, "server answers again");
        }
    }

    /// Waits a moment between two attempts of the same call.
    pub(crate) fn pause(&self, pause: Duration, patience: &Patience) -> Result<(), CallError> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            self.look(patience)?;
            let state = self.state();
            let (_state, _) = self
                .changed
                .wait_timeout(
                    state,
                    TICK.min(until.saturating_duration_since(Instant::now())),
                )
                .unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

//! One TCP connection: a thread that sends, a thread that receives, and who waits for what.

use std::collections::HashMap;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::message::Message;

/// Marks the last fragment of a record.
const LAST: u32 = 0x8000_0000;

/// The longest reply that is taken, in bytes: the largest READ and ample room.
const REPLY_MAX: usize = 16 * 1024 * 1024;

/// Stack of the two threads, in bytes; they do next to nothing.
const STACK: usize = 128 * 1024;

#[derive(Debug)]
struct Shared {
    stream: TcpStream,
    alive: AtomicBool,
    waiting: Mutex<HashMap<u32, Sender<Vec<u8>>>>,
    heard: Mutex<Instant>,
}

/// A connection. Its threads end when it breaks or is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    outgoing: Sender<Message>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, Sender<Vec<u8>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection; whoever waits is told by the end of its channel.
    fn close(&self) {
        let mut waiting = self.waiting();
        self.alive.store(false, Ordering::SeqCst);
        waiting.clear();
        drop(waiting);
        // Fails when it is closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Connection {
    /// Starts the threads of a connected stream.
    pub(crate) fn start(stream: TcpStream) -> io::Result<Self> {
        let (mut writer, reader) = (stream.try_clone()?, stream.try_clone()?);
        let shared = Arc::new(Shared {
            stream,
            alive: AtomicBool::new(true),
            waiting: Mutex::default(),
            heard: Mutex::new(Instant::now()),
        });
        let (outgoing, queue) = mpsc::channel::<Message>();
        let sender = Arc::clone(&shared);
        thread::Builder::new()
            .name("nfs-send".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                for message in queue {
                    if write_all(&mut writer, &message).is_err() {
                        break;
                    }
                }
                sender.close();
            })?;
        let receiver = Arc::clone(&shared);
        thread::Builder::new()
            .name("nfs-receive".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let mut reader = BufReader::with_capacity(64 * 1024, reader);
                while let Ok(record) = read_record(&mut reader) {
                    *receiver
                        .heard
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    let Some(xid) = record.first_chunk::<4>().copied() else {
                        break;
                    };
                    // A reply that nobody waits for any more is dropped.
                    if let Some(caller) = receiver.waiting().remove(&u32::from_be_bytes(xid)) {
                        let _ = caller.send(record);
                    }
                }
                receiver.close();
            })?;
        Ok(Self { shared, outgoing })
    }

    /// Sends a call. The channel gives its reply, or ends when the connection does.
    pub(crate) fn send(&self, xid: u32, message: Message) -> Receiver<Vec<u8>> {
        let (caller, reply) = mpsc::channel();
        let mut waiting = self.shared.waiting();
        if self.shared.alive.load(Ordering::SeqCst) {
            waiting.insert(xid, caller);
            drop(waiting);
            // Fails when the connection breaks at this moment; then the channel ends.
            let _ = self.outgoing.send(message);
        }
        reply
    }

    /// Gives a call up: its reply will be dropped.
    pub(crate) fn forget(&self, xid: u32) {
        self.shared.waiting().remove(&xid);
    }

    /// How long nothing was heard.
    pub(crate) fn silent_for(&self) -> Duration {
        self.shared
            .heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        self.shared.close();
    }

    /// Whether calls can be sent.
    pub(crate) fn is_alive(&self) -> bool {
        self.shared.alive.load(Ordering::SeqCst)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_all(stream: &mut TcpStream, message: &Message) -> io::Result<()> {
    let pieces = message.pieces();
    let mut slices = pieces.map(IoSlice::new);
    let mut left = &mut slices[..];
    // Pieces of no length at the front would look like an end.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The next record, put together from its fragments.
fn read_record(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut record = Vec::new();
    loop {
        let mut mark = [0; 4];
        stream.read_exact(&mut mark)?;
        let mark = u32::from_be_bytes(mark);
        let (start, length) = (record.len(), (mark & !LAST) as usize);
        if start + length > REPLY_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("reply of more than {REPLY_MAX} bytes"),
            ));
        }
        record.resize(start + length, 0);
        stream.read_exact(&mut record[start..])?;
        if mark & LAST != 0 {
            return Ok(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_put_together_and_a_monster_is_refused() {
        let mut bytes = Vec::new();
        bytes.extend(3_u32.to_be_bytes());
        bytes.extend(b"abc");
        bytes.extend((2 | LAST).to_be_bytes());
        bytes.extend(b"de");
        assert_eq!(read_record(&mut bytes.as_slice()).expect("read"), b"abcde");
        let monster = (u32::MAX).to_be_bytes();
        let error = read_record(&mut monster.as_slice()).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read_record(&mut &bytes[..5]).is_err());
    }
}

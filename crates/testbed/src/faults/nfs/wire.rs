//! One connection: calls one way, answers the other, each met by the plan.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nfs3_types::rpc::accept_stat_data;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::call::NfsCall;
use super::{Refusal, Shared};
use crate::faults::plan::{Held, Verdict};
use crate::nfs::embedded::{accepted, frame, parse, read_record};

/// What becomes of an answer.
enum Answer {
    Pass,
    Lose,
    Hold(Held),
}

type Pending = Arc<Mutex<HashMap<u32, (NfsCall, Answer)>>>;
type Sender = mpsc::UnboundedSender<Vec<u8>>;

/// What the two directions of a connection share.
struct Connection {
    shared: Arc<Shared>,
    pending: Pending,
    to_client: Sender,
    to_server: Sender,
    /// Ends the connection, and the calls that wait on it.
    cut: CancellationToken,
}

/// Serves a client until either side ends or a fault cuts the connection.
pub(super) async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.server).await else {
        return;
    };
    // Each record is written at once; Nagle would hold the last part back.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (from_client, client_writer) = client.into_split();
    let (from_server, server_writer) = server.into_split();
    let (to_client, for_client) = mpsc::unbounded_channel();
    let (to_server, for_server) = mpsc::unbounded_channel();
    let connection = Connection {
        shared,
        pending: Pending::default(),
        to_client,
        to_server,
        cut: CancellationToken::new(),
    };
    // Calls that wait in tasks of their own end with the connection.
    let _ended = connection.cut.clone().drop_guard();
    tokio::select! {
        () = connection.cut.cancelled() => {}
        () = connection.calls(from_client) => {}
        () = connection.answers(from_server) => {}
        () = write(for_client, client_writer) => {}
        () = write(for_server, server_writer) => {}
    }
}

async fn write(mut records: mpsc::UnboundedReceiver<Vec<u8>>, mut stream: OwnedWriteHalf) {
    while let Some(record) = records.recv().await {
        if stream.write_all(&frame(&record)).await.is_err() {
            return;
        }
    }
}

impl Connection {
    async fn calls(&self, stream: OwnedReadHalf) {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(record)) = read_record(&mut stream).await {
            let Ok(call) = parse(&record) else {
                // The server says what is wrong with it.
                let _ = self.to_server.send(record);
                continue;
            };
            let call = (call.xid, NfsCall::read(&call, &self.shared.handles));
            self.meet(call, record);
        }
    }

    /// Does with a call what the plan says.
    fn meet(&self, (xid, call): (u32, NfsCall), record: Vec<u8>) {
        match self.shared.plan.take(&call) {
            Verdict::Pass => self.pass(xid, call, Answer::Pass, record),
            Verdict::LoseAnswer => self.pass(xid, call, Answer::Lose, record),
            Verdict::HoldAnswer(held) => self.pass(xid, call, Answer::Hold(held), record),
            Verdict::Cut => self.cut.cancel(),
            Verdict::Answer(Refusal(status)) => match call.words_after_status() {
                Some(words) => {
                    let mut reply = accepted(xid, accept_stat_data::SUCCESS);
                    reply.extend((status as u32).to_be_bytes());
                    reply.resize(reply.len() + words * 4, 0);
                    let _ = self.to_client.send(reply);
                }
                None => self.pass(xid, call, Answer::Pass, record),
            },
            Verdict::Delay(time) => {
                self.later(xid, call, record, async move {
                    tokio::time::sleep(time).await;
                    true
                });
            }
            Verdict::HoldCall(held) => self.later(xid, call, record, held.wait()),
        }
    }

    fn pass(&self, xid: u32, call: NfsCall, answer: Answer, record: Vec<u8>) {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(xid, (call, answer));
        let _ = self.to_server.send(record);
    }

    /// Passes a call on when `wait` says so, without keeping others back.
    fn later(
        &self,
        xid: u32,
        call: NfsCall,
        record: Vec<u8>,
        wait: impl Future<Output = bool> + Send + 'static,
    ) {
        let (pending, to_server, cut) = (
            self.pending.clone(),
            self.to_server.clone(),
            self.cut.clone(),
        );
        tokio::spawn(async move {
            let goes_on = tokio::select! {
                () = cut.cancelled() => return,
                goes_on = wait => goes_on,
            };
            if goes_on {
                pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(xid, (call, Answer::Pass));
                let _ = to_server.send(record);
            } else {
                cut.cancel();
            }
        });
    }

    async fn answers(&self, stream: OwnedReadHalf) {
        let mut stream = BufReader::new(stream);
        while let Ok(Some(record)) = read_record(&mut stream).await {
            let pending = record.first_chunk::<4>().and_then(|xid| {
                self.pending
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&u32::from_be_bytes(*xid))
            });
            let Some((call, answer)) = pending else {
                let _ = self.to_client.send(record);
                continue;
            };
            if let Some(result) = result(&record) {
                call.learn(result, &self.shared.handles);
            }
            match answer {
                Answer::Pass => drop(self.to_client.send(record)),
                Answer::Lose => {
                    self.cut.cancel();
                    return;
                }
                Answer::Hold(held) => {
                    let (to_client, cut) = (self.to_client.clone(), self.cut.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = cut.cancelled() => {}
                            goes_on = held.wait() => {
                                if goes_on {
                                    let _ = to_client.send(record);
                                } else {
                                    cut.cancel();
                                }
                            }
                        }
                    });
                }
            }
        }
    }
}

/// The result in a reply that was accepted and carried out (RFC 5531, section 9).
fn result(reply: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| {
        let bytes = reply.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    // Number, reply, accepted, the verifier's flavour and its length.
    if (word(4)?, word(8)?) != (1, 0) {
        return None;
    }
    let verifier = usize::try_from(word(16)?).ok()?.next_multiple_of(4);
    if word(20 + verifier)? != 0 {
        return None;
    }
    reply.get(24 + verifier..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_behind_the_header() {
        let mut reply = accepted(7, accept_stat_data::SUCCESS);
        reply.extend([0, 0, 0, 13]);
        assert_eq!(result(&reply), Some(&[0, 0, 0, 13][..]));
        let refused = accepted(7, accept_stat_data::PROC_UNAVAIL);
        assert_eq!(result(&refused), None);
        assert_eq!(result(&[0; 7]), None);
    }
}

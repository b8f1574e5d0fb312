//! One client's connection: calls run side by side where they may wait for the disk, replies go out as
//! they are ready.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatch::{Answer, Service};
use super::record;

/// Serves a connection until the client leaves, sends garbage, or `stopped`. `workers` bounds how
/// many calls of all connections block on the file system at once; `tasks` tracks those that run.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    workers: Arc<Semaphore>,
    stopped: CancellationToken,
    tasks: TaskTracker,
) {
    // Ends this connection alone.
    let broken = stopped.child_token();
    let result = tokio::select! {
        () = broken.cancelled() => Ok(()),
        result = exchange(stream, peer, service, workers, broken.clone(), tasks) => result,
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection to the export ended");
    }
}

async fn exchange(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    workers: Arc<Semaphore>,
    broken: CancellationToken,
    tasks: TaskTracker,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    // As many as the client has calls under way.
    let (replies, mut ready) = mpsc::unbounded_channel::<Vec<u8>>();
    let calls = async move {
        while let Some(record) = record::read(&mut reader).await? {
            let Ok(permit) = Arc::clone(&workers).acquire_owned().await else {
                break;
            };
            let (service, replies, connection) =
                (Arc::clone(&service), replies.clone(), broken.clone());
            let waits = service.fs.durable;
            // One thread does all of it, so that a call wakes nobody but whoever sends its reply.
            let work = move || {
                // A call that panics leaves its client without an answer for ever: it ends instead.
                let unfinished = connection.drop_guard();
                let answer = service.answer(peer, &record);
                drop(permit);
                match answer {
                    // Fails only when the connection is gone, and the reply with it.
                    Answer::Reply(reply) => drop(replies.send(reply)),
                    Answer::Nothing => {}
                    Answer::Close => return,
                }
                unfinished.disarm();
            };
            if waits {
                tasks.spawn_blocking(work);
            } else {
                // Calls that wait for no disk are done where they were read: it costs less.
                work();
            }
            if broken.is_cancelled() {
                break;
            }
        }
        Ok(())
    };
    let answers = async {
        while let Some(reply) = ready.recv().await {
            writer.write_all(&record::frame(&reply)).await?;
        }
        Ok(())
    };
    // The replies end when the calls have ended and each has been answered.
    tokio::try_join!(calls, answers).map(drop)
}

//! One client's connection: calls run side by side, replies go out as they are ready.

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

/// How many replies wait for a client that is slow to read.
const REPLIES: usize = 64;

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
    let (replies, mut ready) = mpsc::channel::<Vec<u8>>(REPLIES);
    let calls = async move {
        while let Some(record) = record::read(&mut reader).await? {
            let Ok(permit) = Arc::clone(&workers).acquire_owned().await else {
                break;
            };
            let (service, replies, broken) =
                (Arc::clone(&service), replies.clone(), broken.clone());
            tasks.spawn(async move {
                let answered = tokio::task::spawn_blocking(move || {
                    let answer = service.answer(peer, &record);
                    drop(permit);
                    answer
                })
                .await;
                match answered {
                    // Fails only when the connection is gone, and the reply with it.
                    Ok(Answer::Reply(reply)) => drop(replies.send(reply).await),
                    Ok(Answer::Nothing) => {}
                    Ok(Answer::Close) => broken.cancel(),
                    Err(error) => {
                        tracing::error!(%peer, %error, "call of the export was not finished");
                        broken.cancel();
                    }
                }
            });
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

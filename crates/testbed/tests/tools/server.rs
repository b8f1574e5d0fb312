//! A small HTTP server with canned answers, which counts what is asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What the server does with a path.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The whole body.
    Body(Vec<u8>),
    /// The head announces the whole body, then half of it comes and the connection ends.
    Half(Vec<u8>),
    /// As `Half`, but the connection stays open.
    Stall(Vec<u8>),
    /// Only a status.
    Status(u16),
    /// The connection stays open without a head.
    Silence,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
    stalled: Notify,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    base: String,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that goes away is no fault of the server.
                tokio::spawn(serve(stream, Arc::clone(&for_task)));
            }
        });
        Self { shared, base, task }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn set(&self, path: impl Into<String>, answer: Answer) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.into(), answer);
    }

    /// How often the path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|seen| *seen == path).count()
    }

    pub(crate) fn asked_in_all(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// Waits until an answer stands still.
    pub(crate) async fn stalled(&self) {
        self.shared.stalled.notified().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut lines = BufReader::new(&mut stream).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    while lines
        .next_line()
        .await?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = shared.answers.lock().unwrap().get(&path).cloned();
    shared.asked.lock().unwrap().push(path);
    match answer.unwrap_or(Answer::Status(404)) {
        Answer::Body(body) => {
            head(&mut stream, 200, body.len()).await?;
            stream.write_all(&body).await?;
        }
        Answer::Half(body) => {
            head(&mut stream, 200, body.len()).await?;
            stream.write_all(&body[..body.len() / 2]).await?;
        }
        Answer::Stall(body) => {
            head(&mut stream, 200, body.len()).await?;
            stream.write_all(&body[..body.len() / 2]).await?;
            stream.flush().await?;
            shared.stalled.notify_one();
            std::future::pending::<()>().await;
        }
        Answer::Status(status) => head(&mut stream, status, 0).await?,
        Answer::Silence => {
            shared.stalled.notify_one();
            std::future::pending::<()>().await;
        }
    }
    stream.shutdown().await
}

async fn head(stream: &mut TcpStream, status: u16, length: usize) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

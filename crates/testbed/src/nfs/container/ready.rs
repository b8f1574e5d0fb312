//! Whether the server serves: asked by the protocols, not by its log.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::control::{ended, is_running};
use super::error::{ContainerError, NullError};
use crate::nfs::{ExportTarget, ExportView};
use crate::state::ExportInfo;

/// How long a server may take until it answers; it takes half a second.
pub const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The call NULL of program 100003, version 4 (RFC 8881, section 16.1), as one record of RFC 5531,
/// section 11: its length with the bit of the last fragment, xid, `CALL`, RPC version 2, program,
/// version, procedure, and two empty `AUTH_NONE`.
const NULL_CALL: [u32; 11] = [0x8000_0028, 0x636c_6169, 0, 2, 100_003, 4, 0, 0, 0, 0, 0];

/// Its answer: length, xid, `REPLY`, `MSG_ACCEPTED`, an empty verifier, `SUCCESS`.
const NULL_REPLY: [u32; 7] = [0x8000_0018, NULL_CALL[1], 1, 0, 0, 0, 0];

/// Waits until the export can be mounted by `NFSv3`, its root shows its attributes, and the server
/// answers `NFSv4`.
///
/// After a restart, clients of `NFSv4.1` wait up to 15 s longer before they can open files (RFC 8881,
/// section 8.4.2): until all that had state have claimed it again, or the grace period is over.
/// `NFSv3` does not wait.
///
/// # Errors
/// It does not answer within [`READY_LIMIT`], or its container ends.
pub async fn wait_ready(export: &ExportInfo) -> Result<(), ContainerError> {
    let view = ExportView::new(ExportTarget {
        host: export.server.clone(),
        port: export.port,
        mount_port: export.mount_port,
        path: export.path.clone(),
        directory: None,
    })
    .with_limit(ATTEMPT);
    let until = Instant::now() + READY_LIMIT;
    loop {
        let source: Box<dyn std::error::Error + Send + Sync> = match view.stat("").await {
            Ok(_) => match null(&export.server, export.port).await {
                Ok(()) => return Ok(()),
                Err(error) => Box::new(error),
            },
            Err(error) => Box::new(error),
        };
        if let Some(container) = &export.container
            && !is_running(container).await?
        {
            return Err(ended(container).await);
        }
        if Instant::now() >= until {
            return Err(ContainerError::NotReady {
                server: format!("{}:{}", export.server, export.port),
                limit: READY_LIMIT,
                source,
            });
        }
        sleep(PAUSE).await;
    }
}

/// Calls NULL of `NFSv4` once.
async fn null(host: &str, port: u16) -> Result<(), NullError> {
    let unknown = SocketAddr::from(([0, 0, 0, 0], port));
    let failed = |server| move |source| NullError::Io { server, source };
    let server = tokio::net::lookup_host((host, port))
        .await
        .map_err(failed(unknown))?
        .next()
        .unwrap_or(unknown);
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let call: Vec<u8> = NULL_CALL
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        stream.write_all(&call).await?;
        let mut answer = [0; 4 * NULL_REPLY.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer: [u8; 4 * NULL_REPLY.len()] = timeout(ATTEMPT, exchange)
        .await
        .unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(failed(server))?;
    let expected: Vec<u8> = NULL_REPLY
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    if answer[..] == expected[..] {
        return Ok(());
    }
    let words: Vec<String> = answer
        .chunks_exact(4)
        .map(|word| {
            format!(
                "{:02x}{:02x}{:02x}{:02x}",
                word[0], word[1], word[2], word[3]
            )
        })
        .collect();
    Err(NullError::Refused {
        server,
        answer: words.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one call with these words.
    async fn answering(words: [u32; 7]) -> Result<(), NullError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut call = [0; 44];
            stream.read_exact(&mut call).await.unwrap();
            assert_eq!(call[..4], [0x80, 0, 0, 40], "the record's length");
            for word in words {
                stream.write_all(&word.to_be_bytes()).await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(null("127.0.0.1", port), served);
        result
    }

    #[tokio::test]
    async fn an_accepted_call_is_an_answer() {
        answering(NULL_REPLY).await.unwrap();
    }

    #[tokio::test]
    async fn a_version_that_is_not_served_is_no_answer() {
        // PROG_MISMATCH, which RFC 5531 numbers 2.
        let mut words = NULL_REPLY;
        words[6] = 2;
        let error = answering(words).await.unwrap_err().to_string();
        assert!(error.contains("00000002"), "{error}");
    }

    #[tokio::test]
    async fn a_closed_port_is_no_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(matches!(
            null("127.0.0.1", port).await,
            Err(NullError::Io { .. })
        ));
    }
}

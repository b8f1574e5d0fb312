//! Whether the places that downloads and images come from are reached.

use std::time::Duration;

use crate::doctor::facts::Reach;

/// The registry of Docker's own images; an answer of any kind shows that it is reached.
const REGISTRY: &str = "https://registry-1.docker.io/v2/";
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Asks both at once. `downloads` is the address of the downloads of Kubernetes.
pub(super) async fn ask(downloads: &str) -> Reach {
    let (downloads, images) = tokio::join!(answers(downloads), answers(REGISTRY));
    Reach { downloads, images }
}

/// Whether something answers there that is no failure of a proxy on the way.
async fn answers(address: &str) -> bool {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        .build();
    let Ok(client) = client else { return false };
    match client.get(address).send().await {
        // The registry asks anonymous callers for a token, with 401.
        Ok(answer) => {
            !answer.status().is_server_error()
                && answer.status() != reqwest::StatusCode::FORBIDDEN
                && answer.status() != reqwest::StatusCode::PROXY_AUTHENTICATION_REQUIRED
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[rstest]
    #[case("200 OK", true)]
    #[case("401 Unauthorized", true)]
    #[case("403 Forbidden", false)]
    #[case("502 Bad Gateway", false)]
    #[tokio::test]
    async fn a_refusal_by_a_proxy_is_no_answer(#[case] status: &str, #[case] reached: bool) {
        // Installed once for the process, by whichever test comes first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.unwrap();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (answered, ()) = tokio::join!(answers(&address), served);
        assert_eq!(answered, reached);
    }

    #[tokio::test]
    async fn silence_is_no_answer() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        assert!(!answers(&address).await);
    }
}

//! Waiting for the parts of a booting cluster.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, GetParams, Request};
use kube::runtime::wait::await_condition;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::nodes;
use crate::cluster::{ClusterError, access};

/// How often a process that tells nobody when it is ready is asked.
const POLL: Duration = Duration::from_millis(20);
/// How long one such question may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Ends when the HTTP server at the loopback `port` answers `path` with status 200.
pub(super) async fn http_ready(port: u16, path: &str) -> Result<(), ClusterError> {
    while !matches!(timeout(ASK_LIMIT, http_ok(port, path)).await, Ok(Ok(true))) {
        sleep(POLL).await;
    }
    Ok(())
}

/// Asks once. No library: the answer's first line is all that matters, and there is no TLS.
async fn http_ok(port: u16, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// Ends when the API server says that it is ready.
pub(super) async fn api_ready(client: &Client) -> Result<(), ClusterError> {
    loop {
        // The type makes a path of "" and the name: /readyz.
        if let Ok(request) = Request::new("").get("readyz", &GetParams::default())
            && let Ok(Ok(_)) = timeout(ASK_LIMIT, client.request_text(request)).await
        {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// Ends when pods can be placed on all nodes.
pub(super) async fn nodes_usable(client: &Client, count: usize) -> Result<(), ClusterError> {
    let api: Api<Node> = Api::all(client.clone());
    futures::future::try_join_all((0..count).map(|number| {
        let api = api.clone();
        async move { await_condition(api, &nodes::name(number), access::is_usable).await }
    }))
    .await
    .map_err(|error| ClusterError::api("watching nodes", error))?;
    Ok(())
}

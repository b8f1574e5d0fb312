//! CoreDNS as a process, serving the cluster's zone.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use camino::Utf8Path;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::super::ClusterError;
use super::layout::Layout;
use crate::process::Spec;

/// The cluster's zone, without a final dot.
pub(super) const ZONE: &str = "cluster.local";
/// The user as whom CoreDNS reads the API.
pub(super) const USER: &str = "claimcheck:dns";
/// A name that the zone has from the first moment on.
const KNOWN_NAME: &str = "kubernetes.default.svc.cluster.local";
/// How long one query may take on loopback before it is sent again.
const QUERY_LIMIT: Duration = Duration::from_millis(300);
/// Pause after a query that was answered, but not with the address.
const PAUSE: Duration = Duration::from_millis(30);

/// CoreDNS with the Corefile at `corefile`.
pub(super) fn spec(layout: &Layout<'_>, corefile: &Utf8Path) -> Spec {
    let args = vec!["-conf".to_owned(), corefile.to_string()];
    layout.spec("coredns", &layout.options.binaries.coredns, args)
}

/// CoreDNS's configuration. With `ttl 0` no answer outlives the object it was made from.
pub(super) fn corefile(port: u16, kubeconfig: &Utf8Path) -> String {
    format!(
        r#"{ZONE}:{port} in-addr.arpa:{port} {{
    bind 127.0.0.1
    errors
    kubernetes {ZONE} in-addr.arpa {{
        kubeconfig "{kubeconfig}"
        pods insecure
        ttl 0
    }}
}}
"#
    )
}

/// What CoreDNS may read, as its `kubernetes` plugin needs it.
pub(super) fn roles() -> [Value; 2] {
    let reading = json!(["list", "watch"]);
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": USER },
            "rules": [
                { "apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": reading },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reading },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": USER },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }],
        }),
    ]
}

/// Ends when the server at `address` gives the address of the service `kubernetes`.
pub(super) async fn answering(address: SocketAddr) -> Result<(), ClusterError> {
    loop {
        let answer = timeout(QUERY_LIMIT, ask(address)).await;
        if matches!(answer, Ok(Ok(true))) {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// Sends one query for the known name's address; whether an answer with a record came back.
async fn ask(server: SocketAddr) -> io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(&query(KNOWN_NAME)).await?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).await?;
    Ok(has_records(&answer[..length]))
}

/// A query for the A records of `name` (RFC 1035 section 4.1).
fn query(name: &str) -> Vec<u8> {
    // Identifier 1, recursion desired, one question, no records.
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        // A label has at most 63 bytes, so its length fits.
        message.push(u8::try_from(label.len()).unwrap_or(63));
        message.extend_from_slice(label.as_bytes());
    }
    // The root, type A, class IN.
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// Whether a message is an answer (the highest bit of its third byte) without error (the lowest four
/// of its fourth) that holds a record.
fn has_records(message: &[u8]) -> bool {
    message.len() >= 12
        && message[2] & 0x80 != 0
        && message[3].is_multiple_of(16)
        && (message[6], message[7]) != (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_each_label_with_its_length() {
        let message = query("ab.c");
        assert_eq!(&message[12..], [2, b'a', b'b', 1, b'c', 0, 0, 1, 0, 1]);
    }

    #[test]
    fn only_an_answer_with_records_and_without_error_counts() {
        let answer = |flags: u8, code: u8, records: u8| {
            has_records(&[0, 1, flags, code, 0, 1, 0, records, 0, 0, 0, 0])
        };
        assert!(answer(0x85, 0, 1));
        assert!(!answer(0x85, 3, 1));
        assert!(!answer(0x85, 0, 0));
        assert!(!answer(0x05, 0, 1));
        assert!(!has_records(&[]));
    }
}

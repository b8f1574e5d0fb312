//! Reaching a cluster and asking whether claims can be made on it, whatever it is made of.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::ClusterError;

/// The cluster's zone, without a final dot.
pub(super) const ZONE: &str = "cluster.local";
/// A name that the zone has from the first moment on.
const KNOWN_NAME: &str = "kubernetes.default.svc.cluster.local";
/// How long one query may take before it is sent again.
const QUERY_LIMIT: Duration = Duration::from_millis(300);
/// Pause after a query that was answered, but not with the address.
const PAUSE: Duration = Duration::from_millis(30);

/// A client which does not repeat requests by itself: a repeated create that was stored the first
/// time answers 409 (kube#2082).
pub(super) async fn client(kubeconfig: Kubeconfig) -> Result<Client, ClusterError> {
    let error = |source| ClusterError::Api {
        what: "reading the kubeconfig",
        source,
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|source| error(Box::new(source)))?;
    config.default_retry = false;
    // A proxy of the environment must not stand between this machine and itself.
    config.proxy_url = None;
    Client::try_from(config).map_err(|source| error(Box::new(source)))
}

/// Ends when pods can be made in the namespace `default`: its default `ServiceAccount` is there.
pub(super) async fn default_account(client: &Client) -> Result<(), ClusterError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    await_condition(api, "default", |account: Option<&ServiceAccount>| {
        account.is_some()
    })
    .await
    .map_err(|error| ClusterError::api("watching the default ServiceAccount", error))?;
    Ok(())
}

/// Whether pods can be placed on the node: it is Ready, and the taint that says otherwise is gone.
pub(super) fn is_usable(node: Option<&Node>) -> bool {
    let Some(node) = node else { return false };
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    ready
        && !taints
            .iter()
            .any(|taint| taint.key == "node.kubernetes.io/not-ready")
}

/// Ends when the DNS server at `address` gives the address of the service `kubernetes`.
pub(super) async fn dns_answers(address: SocketAddr) -> Result<(), ClusterError> {
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
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
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
    use serde_json::json;

    use super::*;

    fn node(ready: &str, taint: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {},
            "spec": { "taints": [{ "key": taint, "effect": "NoSchedule" }] },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_node_is_usable_when_it_is_ready_and_not_tainted_as_unready() {
        assert!(is_usable(Some(&node("True", "other"))));
        assert!(!is_usable(Some(&node("False", "other"))));
        assert!(!is_usable(Some(&node(
            "True",
            "node.kubernetes.io/not-ready"
        ))));
        assert!(!is_usable(None));
    }

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

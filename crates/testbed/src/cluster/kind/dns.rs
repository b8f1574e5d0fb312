//! The cluster's DNS: one CoreDNS without a cache, reachable from this machine.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

use crate::cluster::{ClusterError, access};
use crate::manifests;

/// CoreDNS's configuration.
const COREFILE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/Corefile"
));
/// Where kubeadm puts it.
const NAMESPACE: &str = "kube-system";
/// The name that kubeadm gives to CoreDNS's Deployment, its container and its configuration.
const NAME: &str = "coredns";
/// The port of every node at which the DNS answers this machine: of the range that services get when
/// they ask for a given one (KEP-3668), so none gets it by chance.
const PORT: u16 = 30053;

/// Configures the DNS and ends when it answers this machine, with its address.
pub(super) async fn set_up(client: &Client, node: IpAddr) -> Result<SocketAddr, ClusterError> {
    let params = PatchParams::default();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    // Before its pods can start, which wait for the pod network: no restart is needed.
    maps.patch(NAME, &params, &Patch::Merge(configuration()))
        .await
        .map_err(|error| ClusterError::api("configuring CoreDNS", error))?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    deployments
        .patch(NAME, &params, &Patch::Strategic(deployment()))
        .await
        .map_err(|error| ClusterError::api("configuring CoreDNS", error))?;
    manifests::apply_one(client, &service(), NAMESPACE)
        .await
        .map_err(|error| ClusterError::api("creating the service of CoreDNS", error))?;
    await_condition(deployments, NAME, is_settled)
        .await
        .map_err(|error| ClusterError::api("watching CoreDNS", error))?;
    let address = SocketAddr::new(node, PORT);
    access::dns_answers(address).await?;
    Ok(address)
}

fn configuration() -> Value {
    json!({ "data": { "Corefile": COREFILE } })
}

/// One replica beside the control plane, where no case kills it, asked every second whether it is
/// ready: kubeadm's ten seconds would be waited for by every boot.
fn deployment() -> Value {
    json!({
        "spec": {
            "replicas": 1,
            "template": {
                "spec": {
                    "nodeSelector": { "node-role.kubernetes.io/control-plane": "" },
                    "containers": [{ "name": NAME, "readinessProbe": { "periodSeconds": 1 } }],
                },
            },
        },
    })
}

fn service() -> Value {
    let port = |protocol: &str| {
        json!({
            "name": protocol.to_lowercase(),
            "protocol": protocol,
            "port": 53,
            "targetPort": 53,
            "nodePort": PORT,
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "claimcheck-dns", "namespace": NAMESPACE },
        "spec": {
            "type": "NodePort",
            "selector": { "k8s-app": "kube-dns" },
            "ports": [port("UDP"), port("TCP")],
        },
    })
}

/// Whether the Deployment as it is configured now, and no older pod, serves.
fn is_settled(deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else {
        return false;
    };
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.replicas == Some(1)
        && status.updated_replicas == Some(1)
        && status.available_replicas == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(status: &Value) -> Deployment {
        serde_json::from_value(json!({ "metadata": { "generation": 2 }, "status": status }))
            .unwrap()
    }

    #[test]
    fn an_older_pod_or_an_older_configuration_does_not_count() {
        let settled = json!({
            "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        });
        assert!(is_settled(Some(&with(&settled))));
        for (key, value) in [
            ("observedGeneration", json!(1)),
            ("replicas", json!(2)),
            ("updatedReplicas", Value::Null),
            ("availableReplicas", Value::Null),
        ] {
            let mut status = settled.clone();
            status[key] = value;
            assert!(!is_settled(Some(&with(&status))), "{key}");
        }
        assert!(!is_settled(None));
    }

    #[test]
    fn answers_are_neither_kept_nor_long_lived() {
        assert!(COREFILE.contains("ttl 0"));
        assert!(!COREFILE.contains("cache"));
        assert!(COREFILE.contains(access::ZONE));
    }
}

//! The pods' network: on every node image the same, by the standard CNI plugins and plain routes.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use serde_json::json;

use super::config::POD_SUBNET;
use super::script;
use crate::cluster::{ClusterError, access};
use crate::state::NodeInfo;

/// What a node runs before its kubelet starts.
const SCRIPT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/network.sh"
));
/// How the kubelet's unit is told of it.
const UNIT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../kind/cluster/kubelet-network.conf"
));
/// Where the script lies in a node.
const SCRIPT_PATH: &str = "/etc/claimcheck/network.sh";

/// Addresses of one node's pods, and the way to them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pods {
    /// The node's address.
    node: IpAddr,
    /// The addresses of its pods: `10.244.1.0/24`.
    range: String,
}

/// Sets the network up on all nodes as they join, and ends when pods can be placed on each.
pub(super) async fn set_up(client: &Client, nodes: &[NodeInfo]) -> Result<(), ClusterError> {
    let api: Api<Node> = Api::all(client.clone());
    // A node becomes Ready as soon as it has a configuration; the ways to the others follow once all
    // have joined.
    let ranges = nodes.iter().map(async |node| {
        let range = pod_range(&api, &node.name).await?;
        script::run(&node.container, &configuration(&range)).await?;
        let pods = Pods {
            node: node.address,
            range,
        };
        Ok::<_, ClusterError>(pods)
    });
    let all = futures::future::try_join_all(ranges).await?;
    let routed = nodes.iter().enumerate().map(async |(index, node)| {
        script::run(&node.container, &routing(&all, index)).await?;
        await_condition(api.clone(), &node.name, access::is_usable)
            .await
            .map_err(|error| ClusterError::api("watching nodes", error))?;
        Ok::<_, ClusterError>(())
    });
    futures::future::try_join_all(routed).await?;
    Ok(())
}

/// The addresses that the control plane gives to a node's pods, once it has.
async fn pod_range(api: &Api<Node>, name: &str) -> Result<String, ClusterError> {
    let range = |node: Option<&Node>| node.and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
    let node = await_condition(api.clone(), name, |node: Option<&Node>| {
        range(node).is_some()
    })
    .await
    .map_err(|error| ClusterError::api("watching nodes", error))?;
    Ok(range(node.as_ref()).unwrap_or_default())
}

/// The script that gives a node its pods' addresses.
fn configuration(range: &str) -> String {
    script::write_file(
        "/etc/cni/net.d/10-claimcheck.conflist",
        "0644",
        &conflist(range),
    )
}

/// The configuration of the CNI plugins (CNI specification 0.3.1, which every release of them takes):
/// a pair of interfaces for each pod, with an address of the node's range, and ports of the node for
/// those that ask for them.
fn conflist(range: &str) -> String {
    let config = json!({
        "cniVersion": "0.3.1",
        "name": "claimcheck",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    // Gone with the node's restart, as its pods are.
                    "dataDir": "/run/cni-ipam-state",
                    "ranges": [[{ "subnet": range }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    });
    format!("{config:#}\n")
}

/// The script that leads a node to the pods of all others, now and at every start of its kubelet.
fn routing(all: &[Pods], own: usize) -> String {
    let mut script = script::write_file(SCRIPT_PATH, "0755", &network_script(all, own));
    script.push_str(&script::write_file(
        "/etc/systemd/system/kubelet.service.d/20-claimcheck-network.conf",
        "0644",
        UNIT,
    ));
    script.push_str("systemctl daemon-reload\n");
    script.push_str(SCRIPT_PATH);
    script.push('\n');
    script
}

fn network_script(all: &[Pods], own: usize) -> String {
    let routes: Vec<_> = all
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != own)
        .map(|(_, pods)| format!("ip route replace {} via {}", pods.range, pods.node))
        .collect();
    SCRIPT
        .replace("${routes}", &routes.join("\n"))
        .replace("${pods}", &all[own].range)
        .replace("${cluster}", POD_SUBNET)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pods(number: u8) -> Pods {
        Pods {
            node: IpAddr::from([172, 18, 0, 2 + number]),
            range: format!("10.244.{number}.0/24"),
        }
    }

    #[test]
    fn a_node_has_a_way_to_the_pods_of_every_other_node_and_none_to_its_own() {
        let script = network_script(&[pods(0), pods(1), pods(2)], 1);
        let routes: Vec<_> = script
            .lines()
            .filter(|line| line.starts_with("ip route"))
            .collect();
        assert_eq!(
            routes,
            [
                "ip route replace 10.244.0.0/24 via 172.18.0.2",
                "ip route replace 10.244.2.0/24 via 172.18.0.4"
            ]
        );
        assert!(script.contains("ip saddr 10.244.1.0/24 ip daddr != 10.244.0.0/16 masquerade"));
        assert!(!script.contains("${"), "{script}");
    }

    #[test]
    fn a_single_node_needs_no_routes() {
        assert!(!network_script(&[pods(0)], 0).contains("ip route"));
    }

    #[test]
    fn the_pods_of_a_node_get_addresses_of_its_range() {
        let config: Value = serde_json::from_str(&conflist("10.244.1.0/24")).unwrap();
        let golden: Value = serde_json::from_str(include_str!("testdata/conflist.json")).unwrap();
        assert_eq!(config, golden);
    }
}

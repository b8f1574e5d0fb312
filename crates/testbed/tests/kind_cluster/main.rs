//! A cluster of real nodes in containers. These tests boot it where Docker and the images are.

#![cfg(feature = "kind")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says why")]

mod interruption;
mod place;
mod workloads;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::runtime::wait::await_condition;
use place::{images, in_docker, options, place, volumes};
use testbed::cluster::kind::KindCluster;
use testbed::cluster::{Cluster as _, Part};
use testbed::docker;
use testbed::machine;
use testbed::state::{NfsMounts, NodeInfo, marked};
use tokio::time::timeout;
use workloads::{
    dns_answers_over_both_transports, pods_reach_each_other_names_and_the_network_outside,
};

/// Limit of every wait: many times what a busy machine needs.
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_booted_kind_cluster_works_and_leaves_nothing() {
    let Some([node_image, busybox]) = images().await else {
        return;
    };
    let place = place();
    let options = options(&place.home, "one", &node_image).await;
    let stages = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&stages);
    let told = move |line: &str| heard.lock().unwrap().push(line.to_owned());
    let cluster = Box::pin(KindCluster::up(&options, &told)).await.unwrap();
    eprintln!("stages: {:?}", cluster.stages());
    let heard = stages.lock().unwrap().join("\n");
    assert!(heard.contains("kind: Starting control-plane"), "{heard}");

    let (info, client) = (cluster.describe(), cluster.client());
    assert_eq!(info.nodes.len(), 3);
    let expected = if machine::nfs_is_loaded() {
        NfsMounts::Kernel
    } else {
        NfsMounts::UserSpace
    };
    assert_eq!(info.mounts, Some(expected));
    no_class_and_no_foreign_provisioner(&client).await;
    each_node_has_its_directory(&info.nodes).await;
    dns_answers_over_both_transports(info.dns.unwrap()).await;

    cluster.load_image(&busybox, "busybox").await.unwrap();
    // Twice: the second time nothing is to be done.
    cluster.load_image(&busybox, "busybox").await.unwrap();
    Box::pin(pods_reach_each_other_names_and_the_network_outside(
        &client,
        &busybox,
        &options,
        &info.nodes,
    ))
    .await;
    a_restarted_kubelet_keeps_the_network(&client, &info.nodes[2]).await;

    docker::run(&["kill", &info.nodes[2].container])
        .await
        .unwrap();
    let died = timeout(LIMIT, cluster.failed()).await.unwrap();
    assert_eq!(
        (died.part, &died.process),
        (Part::Node, &info.nodes[2].container)
    );
    assert!(died.to_string().contains("137"), "{died}");
    assert!(!died.tail.is_empty());

    let volumes = volumes(&info.nodes).await;
    assert!(volumes.len() >= info.nodes.len(), "{volumes:?}");
    let started = Instant::now();
    Box::new(cluster).down().await;
    eprintln!("down after {:?}", started.elapsed());
    assert_eq!(in_docker(&options).await, "");
    assert_eq!(marked(&options.directory), []);
    for volume in volumes {
        let gone = docker::run(&["volume", "inspect", &volume])
            .await
            .unwrap_err();
        assert!(gone.to_string().contains("no such volume"), "{gone}");
    }
    // The logs outlive their nodes.
    let log = options
        .logs
        .join(format!("{}.log", info.nodes[0].container));
    assert!(fs_err::read_to_string(log).unwrap().contains("kubelet"));
}

async fn no_class_and_no_foreign_provisioner(client: &Client) {
    let classes: Api<StorageClass> = Api::all(client.clone());
    let classes = classes.list(&ListParams::default()).await.unwrap();
    assert_eq!(classes.items.len(), 0);
    let pods: Api<Pod> = Api::all(client.clone());
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        assert_eq!(pod.metadata.namespace.as_deref(), Some("kube-system"));
    }
}

async fn each_node_has_its_directory(nodes: &[NodeInfo]) {
    for node in nodes {
        let write = "echo \"$0\" > /var/claimcheck/node/name";
        docker::exec(&node.container, &["sh", "-c", write, &node.name])
            .await
            .unwrap();
        let seen = fs_err::read_to_string(node.directory.join("name")).unwrap();
        assert_eq!(seen.trim(), node.name);
    }
}

async fn a_restarted_kubelet_keeps_the_network(client: &Client, node: &NodeInfo) {
    // As a restart of the node's container does.
    let take = "for way in $(ip -o route | awk '/ via .* dev eth0/ && !/default/ { print $1 }'); do \
                ip route del \"$way\"; done; nft delete table ip claimcheck; systemctl restart kubelet; \
                ip route | grep -c 10.244; nft list table ip claimcheck";
    let rules = docker::exec(&node.container, &["sh", "-euc", take])
        .await
        .unwrap();
    assert!(rules.contains("masquerade"), "{rules}");
    let api: Api<Node> = Api::all(client.clone());
    let ready = |node: Option<&Node>| {
        let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
    };
    timeout(LIMIT, await_condition(api, &node.name, ready))
        .await
        .unwrap()
        .unwrap();
}

//! What a booted cluster does for those who use it: names and pods.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use testbed::cluster::kind::KindOptions;
use testbed::docker;
use testbed::state::NodeInfo;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::LIMIT;

pub(crate) async fn dns_answers_over_both_transports(server: std::net::SocketAddr) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    // A query for the A records of `kubernetes.default.svc.cluster.local` (RFC 1035).
    let mut query = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);

    let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&query).await.unwrap();
    let mut answer = vec![0; 512];
    let length = timeout(LIMIT, socket.recv(&mut answer))
        .await
        .unwrap()
        .unwrap();
    is_an_answer_without_lifetime(&answer[..length]);

    let mut stream = TcpStream::connect(server).await.unwrap();
    let length = u16::try_from(query.len()).unwrap();
    stream.write_u16(length).await.unwrap();
    stream.write_all(&query).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.unwrap();
    is_an_answer_without_lifetime(&answer);
}

/// One address, of the range of services, with a time to live of 0.
fn is_an_answer_without_lifetime(answer: &[u8]) {
    assert_eq!(answer[..2], [0, 9]);
    assert_eq!(answer[3] % 16, 0, "an error: {answer:?}");
    assert_eq!(answer[6..8], [0, 1], "not one record: {answer:?}");
    // An A record ends with its time to live, the length of an address, and the address.
    let end = answer.len();
    assert_eq!(answer[end - 10..end - 4], [0, 0, 0, 0, 0, 4]);
    assert_eq!(answer[end - 4..], [10, 96, 0, 1]);
}

/// Runs a pod with a shell script on a node and gives it once `done` says so.
async fn pod(
    client: &Client,
    node: &NodeInfo,
    name: &str,
    script: &str,
    done: impl Fn(&Pod) -> bool + Send,
) -> Pod {
    let pod = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": { "kubernetes.io/hostname": node.name },
            "containers": [{
                "name": "main",
                "image": "busybox",
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-euxc", script],
            }],
        },
    }))
    .unwrap();
    let api: Api<Pod> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &pod).await.unwrap();
    let reached = await_condition(api, name, |pod: Option<&Pod>| pod.is_some_and(&done));
    timeout(LIMIT, reached).await.unwrap().unwrap().unwrap()
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Runs a script in a pod to its end, which must be a good one.
async fn script_in_pod(client: &Client, node: &NodeInfo, name: &str, script: &str) {
    let ended = |pod: &Pod| matches!(phase(pod), "Succeeded" | "Failed");
    let pod = pod(client, node, name, script, ended).await;
    let api: Api<Pod> = Api::namespaced(client.clone(), "default");
    let log = api
        .logs(name, &LogParams::default())
        .await
        .unwrap_or_default();
    assert_eq!(phase(&pod), "Succeeded", "{name}: {log}");
}

pub(crate) async fn pods_reach_each_other_names_and_the_network_outside(
    client: &Client,
    busybox: &str,
    options: &KindOptions,
    nodes: &[NodeInfo],
) {
    // A server beside the cluster, at the address that is kept for it.
    let outside = options.network.nfs_server.to_string();
    let label = format!("{}={}", docker::LABEL, options.directory);
    let name = format!("{}-outside", options.network.name);
    let mut call = vec!["run", "--detach", "--name", &name, "--label", &label];
    call.extend([
        "--network",
        &options.network.name,
        "--ip",
        &outside,
        busybox,
    ]);
    call.extend(["httpd", "-f", "-p", "8080", "-h", "/bin"]);
    docker::run(&call).await.unwrap();

    let serve = "mkdir /tmp/www; echo here > /tmp/www/file; exec httpd -f -p 8080 -h /tmp/www";
    let running = |pod: &Pod| phase(pod) == "Running";
    let (one, two) = Box::pin(futures::future::join(
        pod(client, &nodes[1], "server-one", serve, running),
        pod(client, &nodes[2], "server-two", serve, running),
    ))
    .await;
    let address = |pod: &Pod| pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    let (one, two) = (address(&one), address(&two));
    assert_ne!(one, two);
    // A server may have started and not listen yet: that alone is tried again.
    let ask = |address: &str| {
        format!(
            "until wget -q -O /tmp/got http://{address}:8080/file; do sleep 0.1; done; \
             test \"$(cat /tmp/got)\" = here\n"
        )
    };
    let names = "nslookup kubernetes.default.svc.cluster.local | grep 10.96.0.1\n";
    let leave = format!("wget -q -O /dev/null http://{outside}:8080/busybox\n");
    let script = [ask(&one), ask(&two), names.to_owned(), leave].concat();
    Box::pin(futures::future::join(
        script_in_pod(client, &nodes[1], "client-one", &script),
        script_in_pod(client, &nodes[2], "client-two", &script),
    ))
    .await;
}

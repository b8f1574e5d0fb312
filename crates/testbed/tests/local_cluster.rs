//! A real control plane as processes. These tests boot it, with the tools of the tool cache.

#![cfg(feature = "local")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use camino::Utf8Path;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{PROBE, Probe, eventually};
use testbed::artifacts::Home;
use testbed::cluster::Cluster as _;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::kind::{HOLD_READY, HOLD_TERMINATION};
use testbed::manifests;
use testbed::state::{ExportInfo, marked, sweep_dead};
use testbed::subject::{RunningSubject, StartOptions, Subject};
use testbed::tools::{NoProgress, ToolOptions, Tools};
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Limit of every wait: many times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(30);

struct Place {
    _directory: tempfile::TempDir,
    home: Home,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(Utf8Path::from_path(directory.path()).unwrap());
    Place {
        _directory: directory,
        home,
    }
}

async fn boot(home: &Home, name: &str) -> (LocalCluster, LocalOptions) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tools = Tools::resolve(&ToolOptions::from_env().unwrap(), &NoProgress)
        .await
        .unwrap();
    let options = LocalOptions {
        directory: home.claim(name).unwrap(),
        logs: home.logs(name),
        binaries: LocalBinaries::from(&tools),
        kubernetes: "v1.36.3".to_owned(),
        nodes: 3,
        guard: Some(PROBE.into()),
    };
    (LocalCluster::up(&options).await.unwrap(), options)
}

async fn client_of(kubeconfig: &Utf8Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_booted_cluster_runs_pods_in_order_answers_dns_and_tells_who_died() {
    let place = place();
    let (cluster, options) = boot(&place.home, "one").await;
    let info = cluster.describe();
    let client = client_of(&info.kubeconfig).await;
    let nodes: Api<Node> = Api::all(client.clone());
    assert_eq!(
        nodes
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        3
    );

    the_walkthroughs_manifests_are_sound(&client).await;
    Box::pin(ordered_start_and_stop(&client, info.dns.unwrap())).await;
    rights_of_a_subject(&cluster, &options).await;

    let scheduler = cluster
        .children()
        .into_iter()
        .find(|child| child.name == "kube-scheduler")
        .unwrap();
    kill(
        Pid::from_raw(i32::try_from(scheduler.pid).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let died = timeout(LIMIT, cluster.failed()).await.unwrap();
    assert_eq!(died.process, "kube-scheduler");
    assert!(
        died.tail.contains("Starting Kubernetes Scheduler"),
        "{died}"
    );

    let children = cluster.children();
    Box::new(cluster).down().await;
    assert!(children.iter().all(|child| !child.is_alive()));
    assert_eq!(marked(&options.directory), []);
}

/// The API takes every manifest of the walkthrough, and refuses the article's misplaced parameter.
async fn the_walkthroughs_manifests_are_sound(client: &Client) {
    let directory = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/walkthrough");
    let mut files = 0;
    for entry in directory.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let text = fs_err::read_to_string(&path).unwrap();
        for object in manifests::documents(&text).unwrap() {
            let result = manifests::check_one(client, &object, "default").await;
            assert!(result.is_ok(), "{path}: {result:?}");
        }
        files += 1;
    }
    assert_eq!(files, 8);
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": "x" },
        "provisioner": "westos.org/nfs",
    });
    manifests::check_one(client, &class, "default")
        .await
        .unwrap();
    let mut misplaced = class.clone();
    misplaced["archiveOnDelete"] = "false".into();
    let error = manifests::check_one(client, &misplaced, "default")
        .await
        .unwrap_err();
    assert!(
        format!("{error:?}").contains("archiveOnDelete"),
        "{error:?}"
    );
}

/// A `StatefulSet` whose pods wait for each other, as far as a held pod lets them.
async fn ordered_start_and_stop(client: &Client, dns: SocketAddr) {
    let label = json!({ "app": "nginx", HOLD_READY: "true" });
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": { "name": "web" },
        "spec": {
            "serviceName": "nginx-svc",
            "replicas": 2,
            "selector": { "matchLabels": { "app": "nginx" } },
            "template": {
                "metadata": { "labels": label },
                "spec": { "containers": [{ "name": "nginx", "image": "nginx" }] },
            },
        },
    });
    let services = include_str!("../../../fixtures/walkthrough/headless-service.yaml");
    manifests::apply(client, services, "default").await.unwrap();
    manifests::apply_one(client, &set, "default").await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());

    // Held: it runs, it is not ready, and its successor is not there.
    let first = wait_for(&pods, "web-0", |pod| phase(pod) == Some("Running")).await;
    assert!(!is_ready(&first));
    assert!(pods.get_opt("web-1").await.unwrap().is_none());
    assert_eq!(
        addresses(dns, "web-0.nginx-svc.default.svc.cluster.local").await,
        Vec::<String>::new()
    );

    label_pod(&pods, "web-0", json!({ HOLD_READY: null })).await;
    let first = wait_for(&pods, "web-0", is_ready).await;
    let second = wait_for(&pods, "web-1", |pod| phase(pod) == Some("Running")).await;
    label_pod(
        &pods,
        "web-1",
        json!({ HOLD_READY: null, HOLD_TERMINATION: "true" }),
    )
    .await;
    wait_for(&pods, "web-1", is_ready).await;
    assert_ne!(address(&first), address(&second));
    for pod in [&first, &second] {
        let name = format!(
            "{}.nginx-svc.default.svc.cluster.local",
            pod.metadata.name.as_ref().unwrap()
        );
        let expected = vec![address(pod).to_owned()];
        eventually_resolves(dns, &name, &expected).await;
    }

    // A ready pod that gets the label becomes unready.
    label_pod(&pods, "web-0", json!({ HOLD_READY: "true" })).await;
    wait_for(&pods, "web-0", |pod| !is_ready(pod)).await;
    label_pod(&pods, "web-0", json!({ HOLD_READY: null })).await;
    wait_for(&pods, "web-0", is_ready).await;

    // The highest ordinal goes first, and the other waits while that one is kept terminating.
    let down = json!({ "spec": { "replicas": 0 } });
    sets.patch("web", &PatchParams::default(), &Patch::Merge(&down))
        .await
        .unwrap();
    wait_for(&pods, "web-1", |pod| {
        pod.metadata.deletion_timestamp.is_some()
    })
    .await;
    let first = pods.get("web-0").await.unwrap();
    assert!(first.metadata.deletion_timestamp.is_none());
    label_pod(&pods, "web-1", json!({ HOLD_TERMINATION: null })).await;
    for name in ["web-1", "web-0"] {
        let gone = await_condition(pods.clone(), name, |pod: Option<&Pod>| pod.is_none());
        timeout(LIMIT, gone).await.unwrap().unwrap();
    }
    sets.delete("web", &DeleteParams::default()).await.unwrap();
}

/// The idle subject has a kubeconfig with the rights of its `ServiceAccount` and no others.
async fn rights_of_a_subject(cluster: &LocalCluster, options: &LocalOptions) {
    let subject = Subject::open("idle").unwrap();
    let export = ExportInfo {
        server: "127.0.0.1".to_owned(),
        path: "/export".to_owned(),
        port: 1,
        mount_port: 1,
        directory: options.directory.join("export"),
        container: None,
    };
    let running = RunningSubject::start(StartOptions {
        subject: &subject,
        client: cluster.client(),
        kubeconfig: &cluster.describe().kubeconfig,
        export: &export,
        directory: &options.directory,
        logs: &options.logs,
        claimcheck: Utf8Path::new(PROBE),
        guard: Some(Utf8Path::new(PROBE)),
    })
    .await
    .unwrap();
    let record = running.record().unwrap().clone();
    assert_eq!(running.state().pid, Some(record.pid));
    assert!(record.is_alive());

    let client = client_of(&options.directory.join("subject.kubeconfig")).await;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    volumes.list(&ListParams::default()).await.unwrap();
    let patch = Patch::Merge(json!({}));
    let refused = volumes
        .patch("x", &PatchParams::default(), &patch)
        .await
        .unwrap_err();
    assert!(is_forbidden(&refused), "{refused}");
    let secrets: Api<Secret> = Api::namespaced(client, "kube-system");
    let refused = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(is_forbidden(&refused), "{refused}");

    let pid = Pid::from_raw(i32::try_from(record.pid).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    timeout(LIMIT, running.exited()).await.unwrap();
}

#[test]
fn clusters_live_side_by_side_and_a_killed_owner_leaves_nothing_after_a_sweep() {
    let place = place();
    let root = place.home.root().to_owned();
    // Both boot at the same moment, so that they contend for ports.
    let start = |name: &'static str| {
        let root = root.clone();
        std::thread::spawn(move || Probe::start(&["cluster", root.as_str(), name]))
    };
    let (one, two) = (start("one"), start("two"));
    let (mut one, two) = (one.join().unwrap(), two.join().unwrap());
    let (first, second) = (
        place.home.load("one").unwrap(),
        place.home.load("two").unwrap(),
    );
    assert_ne!(first.cluster.dns, second.cluster.dns);
    assert!(one.children.len() == 6 && two.children.len() == 6);

    one.kill();
    assert!(eventually(|| one
        .children
        .iter()
        .all(|child| !child.is_alive())));
    assert!(two.children.iter().all(testbed::state::Owner::is_alive));
    let swept = sweep_dead(&place.home).unwrap();
    assert_eq!(swept.len(), 1);
    assert_eq!(
        (swept[0].name.as_str(), &swept[0].logs),
        ("one", &Some(first.logs.clone()))
    );
    assert!(!first.directory.exists());
    assert!(first.logs.join("kube-apiserver.log").exists());
    assert!(second.directory.exists());
    assert_eq!(marked(&first.directory), []);

    // The other one is ended by name, from outside, with its owner.
    let ended = testbed::state::end(&place.home, "two", LIMIT)
        .unwrap()
        .unwrap();
    assert_eq!(ended.name, "two");
    assert!(two.children.iter().all(|child| !child.is_alive()));
    assert!(!second.directory.exists());
}

async fn wait_for(api: &Api<Pod>, name: &str, condition: impl Fn(&Pod) -> bool) -> Pod {
    let met = await_condition(api.clone(), name, |pod: Option<&Pod>| {
        pod.is_some_and(&condition)
    });
    let Ok(pod) = timeout(LIMIT, met).await else {
        panic!("pod {name}: {:?}", api.get_opt(name).await)
    };
    pod.unwrap().unwrap()
}

async fn label_pod(api: &Api<Pod>, name: &str, labels: Value) {
    let patch = json!({ "metadata": { "labels": labels } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn address(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.pod_ip.as_deref())
        .unwrap()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

async fn eventually_resolves(server: SocketAddr, name: &str, expected: &[String]) {
    let same = async {
        while addresses(server, name).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, same)
        .await
        .unwrap_or_else(|_| panic!("{name} does not resolve to {expected:?}"));
}

/// The A records of `name`, all of one question without compression in the question (RFC 1035).
async fn addresses(server: SocketAddr, name: &str) -> Vec<String> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&query).await.unwrap();
    let mut answer = [0; 1500];
    let length = timeout(LIMIT, socket.recv(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let count = usize::from(u16::from_be_bytes([answer[6], answer[7]]));
    let mut rest = &answer[query.len()..length];
    let mut found = Vec::new();
    for _ in 0..count {
        // The owner name, as a pointer or as labels, then type, class, TTL, length and data.
        let skip = if rest[0] >= 0xc0 {
            2
        } else {
            rest.iter().position(|byte| *byte == 0).unwrap() + 1
        };
        rest = &rest[skip..];
        let size = usize::from(u16::from_be_bytes([rest[8], rest[9]]));
        if rest[..2] == [0, 1] {
            found.push(format!(
                "{}.{}.{}.{}",
                rest[10], rest[11], rest[12], rest[13]
            ));
        }
        rest = &rest[10 + size..];
    }
    found.sort();
    found
}

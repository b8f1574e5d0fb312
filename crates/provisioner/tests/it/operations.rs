//! The HTTP port of a whole provisioner: what it says while things go well, and while they do not.
//! On the real clock: sockets know no other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use kube::ResourceExt as _;
use provisioner::backend::Cause;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{World, claim, class};

const DOCUMENTATION: &str = include_str!("../../../../docs/provisioner.md");
/// Many times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(30);

/// Status and body of a page.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Waits until a page has this status and holds this text.
async fn shows(address: SocketAddr, path: &str, status: u16, text: &str) -> String {
    let mut last = String::new();
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            let (found, body) = get(address, path).await;
            if found == status && body.contains(text) {
                return body;
            }
            last = format!("{found}\n{body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let Ok(body) = found.await else {
        panic!("{path} never was {status} with {text:?}, but {last}");
    };
    body
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = tokio::time::timeout(LIMIT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "never came true: {what}");
}

fn quick_world() -> World {
    let mut world = World::new();
    world.config.operations.export_check = Duration::from_millis(100);
    world
}

#[tokio::test]
async fn who_acts_is_ready_and_shows_only_what_is_documented() {
    let world = quick_world();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.class(class("bad", &json!({ "nonsense": "x" })));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("b", "2", "bad"));
    let (running, address) = world.start_serving();
    until("bound", || world.store.bound_to("a").is_some()).await;
    for (path, line) in [
        ("/healthz", "[+]event-loop ok\n"),
        ("/healthz/leader-election", "[+]leader-election ok\n"),
        ("/readyz", "[+]caches ok\n[+]rights ok\n[+]export ok\n"),
    ] {
        assert_eq!(shows(address, path, 200, line).await, line);
    }
    world.store.delete_claim("a");
    until("reclaimed", || world.store.volumes().is_empty()).await;
    shows(
        address,
        "/metrics",
        200,
        "\ncontroller_persistentvolume_delete_total{class=\"c\"} 1\n",
    )
    .await;
    let text = shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_retries_total{cause=\"refused\",queue=\"claims\"} 1\n",
    )
    .await;
    for line in [
        "controller_persistentvolumeclaim_provision_total{class=\"c\",source=\"\"} 1",
        "controller_persistentvolumeclaim_provision_failed_total{class=\"bad\",source=\"\"} 1",
        "claimcheck_leader 1",
        "claimcheck_export_ready 1",
        "claimcheck_queue_depth{queue=\"claims\"} 1",
        "claimcheck_foreign_volumes 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let shown: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(shown.len() > 15, "{shown:?}");
    for name in shown {
        assert!(
            DOCUMENTATION.contains(&format!("\n| `{name}` | ")),
            "{name} is not documented"
        );
    }
    running.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_standby_is_ready_and_does_not_act() {
    let mut first = quick_world();
    first.config.leader_election = true;
    first.store.class(class("c", &json!({})));
    first.store.claim(claim("a", "1", "c"));
    let (leading, leader) = first.start_serving();
    shows(leader, "/metrics", 200, "\nclaimcheck_leader 1\n").await;
    let mut second = World {
        files: first.files.clone(),
        store: first.store.clone(),
        config: first.config.clone(),
    };
    second.config.identity = "test_2".to_owned();
    let (waiting, standby) = second.start_serving();
    shows(standby, "/readyz", 200, "[+]export ok\n").await;
    shows(standby, "/healthz/leader-election", 200, "ok").await;
    shows(standby, "/metrics", 200, "\nclaimcheck_leader 0\n").await;
    leading.stop().await.unwrap();
    // The lock was released: nobody waits for it to expire.
    shows(standby, "/metrics", 200, "\nclaimcheck_leader 1\n").await;
    shows(
        standby,
        "/metrics",
        200,
        "\nclaimcheck_lease_transitions 1\n",
    )
    .await;
    waiting.stop().await.unwrap();
}

#[tokio::test]
async fn an_export_that_does_not_answer_makes_its_leader_unready_until_it_is_back() {
    let world = quick_world();
    world.store.class(class("c", &json!({})));
    let (running, address) = world.start_serving();
    shows(address, "/readyz", 200, "[+]export ok\n").await;
    world.files.fail("read", Cause::TimedOut, usize::MAX);
    let text = shows(address, "/readyz", 503, "[-]export failed: ").await;
    assert!(text.contains("the server did not answer in time"), "{text}");
    // It lives all the same: a new process would not find a better export.
    shows(address, "/healthz", 200, "ok").await;
    world.store.claim(claim("a", "1", "c"));
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_retries_total{cause=\"timed-out\",queue=\"claims\"} 3\n",
    )
    .await;
    assert_eq!(world.store.bound_to("a"), None);
    shows(address, "/metrics", 200, "\nclaimcheck_export_ready 0\n").await;
    world.files.fail("read", Cause::TimedOut, 0);
    shows(address, "/readyz", 200, "[+]export ok\n").await;
    until("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn another_export_in_its_place_is_not_written_to() {
    let world = quick_world();
    world.store.class(class("c", &json!({})));
    let (running, address) = world.start_serving();
    shows(address, "/readyz", 200, "[+]export ok\n").await;
    world.files.put(".claimcheck/export-id/id", "another one\n");
    shows(address, "/readyz", 503, "its id is another one").await;
    let before = world.files.listing();
    world.store.claim(claim("a", "1", "c"));
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_retries_total{cause=\"export\",queue=\"claims\"} 2\n",
    )
    .await;
    assert_eq!(world.files.listing(), before);
    assert!(world.files.records().is_empty());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_sweep_tells_what_belongs_to_no_volume_and_touches_nothing() {
    let mut world = quick_world();
    world.config.owner = Some("me".to_owned());
    world.config.operations.sweep = Some(Duration::from_millis(200));
    world
        .files
        .put(".claimcheck/me/trash/pvc-gone/data", "bytes");
    world.files.put(".claimcheck/me/records/pvc-broken", "{");
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let (running, address) = world.start_serving();
    until("bound", || world.store.bound_to("a").is_some()).await;
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_orphans{kind=\"trash\"} 1\n",
    )
    .await;
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_orphans{kind=\"unreadable-record\"} 1\n",
    )
    .await;
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_orphans{kind=\"lost-record\"} 0\n",
    )
    .await;
    let volume = world.store.volumes()[0].name_any();
    world
        .files
        .remove(&format!(".claimcheck/me/records/{volume}"));
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_orphans{kind=\"lost-record\"} 1\n",
    )
    .await;
    shows(
        address,
        "/metrics",
        200,
        "\nclaimcheck_directories{origin=\"created\",state=\"saved\"} 1\n",
    )
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.files.trash().len(), 2, "{:?}", world.files.trash());
}

//! Waits and recordings against an API server of a few lines.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use serde_json::{Value, json};

use super::*;
use crate::mock::{Answer, Server};

fn map(name: &str, colour: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"},
        "data": {"colour": colour},
    })
}

fn list(items: &[Value]) -> Answer {
    Answer::list("ConfigMap", items)
}

fn wait() -> Wait {
    Wait {
        what: "map paint is green".to_owned(),
        limit: "event",
        duration: Duration::from_secs(2),
    }
}

async fn green(client: Client) -> CaseResult {
    let api: Api<ConfigMap> = Api::namespaced(client, "shop");
    eventually(&wait(), api, "paint", |map| {
        let colour = map?.data.as_ref()?.get("colour")?;
        (colour == "green").then_some(())
    })
    .await
}

#[tokio::test]
async fn a_state_that_comes_is_seen_by_the_watch() {
    let server = Server::start(|request| {
        if request.is_watch() {
            Answer::watch(&[json!({"type": "MODIFIED", "object": map("paint", "green")})])
        } else {
            list(&[map("paint", "red")])
        }
    });
    green(server.client()).await.unwrap();
}

#[tokio::test]
async fn a_state_that_never_comes_is_a_failure_with_the_last_state() {
    let server = Server::start(|request| {
        if request.is_watch() {
            Answer::watch(&[json!({"type": "MODIFIED", "object": map("paint", "blue")})])
        } else {
            list(&[map("paint", "blue")])
        }
    });
    let Err(Trouble::Failed(finding)) = green(server.client()).await else {
        panic!("no failure")
    };
    assert_eq!(
        finding.expected,
        "map paint is green within 2 s (limit event)"
    );
    assert_eq!(finding.observed, "configmap shop/paint");
    assert!(
        finding.evidence[0].contains("blue"),
        "{:?}",
        finding.evidence
    );
}

#[tokio::test]
async fn an_object_that_is_not_there_is_a_failure() {
    let server = Server::start(|request| {
        if request.is_watch() {
            Answer::watch(&[])
        } else {
            list(&[])
        }
    });
    let Err(Trouble::Failed(finding)) = green(server.client()).await else {
        panic!("no failure")
    };
    assert_eq!(finding.observed, "there is no such configmap");
}

#[tokio::test]
async fn a_collection_that_cannot_be_watched_is_inconclusive() {
    let server = Server::start(|_| Answer::refusal(500, "etcd is away"));
    let Err(Trouble::Inconclusive(cause)) = green(server.client()).await else {
        panic!("a verdict without a look");
    };
    assert!(cause.contains("etcd is away"), "{cause}");
}

#[tokio::test]
async fn an_api_server_that_breaks_after_the_first_list_gives_no_verdict() {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let first = lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        if request.is_watch() || !first {
            Answer::refusal(503, "shutting down")
        } else {
            list(&[map("paint", "red")])
        }
    });
    assert!(matches!(
        green(server.client()).await,
        Err(Trouble::Inconclusive(_))
    ));
}

#[tokio::test]
async fn a_state_that_a_silent_watch_did_not_show_counts_when_it_is_there_at_the_end() {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |request| {
        if request.is_watch() {
            Answer::watch(&[])
        } else {
            let first = lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            list(&[map("paint", if first { "red" } else { "green" })])
        }
    });
    green(server.client()).await.unwrap();
}

fn typed(name: &str) -> ConfigMap {
    serde_json::from_value(map(name, "red")).unwrap()
}

fn empty() -> Log<ConfigMap> {
    Log {
        changes: Vec::new(),
        present: Snapshot::new(),
        listed: None,
        lists: 0,
    }
}

#[test]
fn a_recording_whose_watch_is_cut_knows_what_went_and_that_it_is_incomplete() {
    let mut log = empty();
    log.note(watcher::Event::Init);
    log.note(watcher::Event::InitApply(typed("a")));
    log.note(watcher::Event::InitDone);
    log.note(watcher::Event::Apply(typed("b")));
    assert_eq!(log.lists, 1);
    log.note(watcher::Event::Init);
    log.note(watcher::Event::InitApply(typed("b")));
    log.note(watcher::Event::InitDone);
    let told: Vec<_> = log
        .changes
        .iter()
        .map(|change| (change.object.name_any(), change.gone))
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(name, gone)| (name.as_str(), *gone))
        .collect();
    assert_eq!(
        told,
        [("a", false), ("b", false), ("b", false), ("a", true)]
    );
    assert_eq!(log.lists, 2);
}

#[tokio::test]
async fn a_recording_begins_with_what_is_there_and_is_complete_while_nothing_cuts_it() {
    let server = Server::start(|request| {
        if request.is_watch() {
            Answer::watch(&[json!({"type": "DELETED", "object": map("paint", "red")})])
        } else {
            list(&[map("paint", "red")])
        }
    });
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "shop");
    let recording = Recording::start(api, watcher::Config::default(), Duration::from_secs(5))
        .await
        .unwrap();
    let gone = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while recording.changes().len() < 2 {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone)
        .await
        .unwrap();
    assert!(recording.changes()[1].gone);
    recording.complete().unwrap();
}

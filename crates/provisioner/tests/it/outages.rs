//! A mount that comes late, watches that die, answers that never come.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use provisioner::app;
use provisioner::cluster::ApiCause;
use provisioner::config::BackendChoice;
use provisioner::error::Error;
use provisioner::rules::SoundRules;
use serde_json::json;

use crate::memory::Steps;
use crate::world::{World, claim, class, eventually};

/// On the real clock: the backend's threads know no other.
#[tokio::test]
async fn a_mount_that_is_missing_at_the_start_is_waited_for() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let mounted = directory.path().join("mounted");
    world.config.backend = BackendChoice::Mount {
        path: mounted.to_str().unwrap().into(),
        allow_any_filesystem: true,
    };
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let backend = app::open_backend(&world.config).unwrap();
    let running = world.start_on(backend, Steps::unlimited(), Arc::new(SoundRules));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.store.bound_to("a"), None);
    std::fs::create_dir(&mounted).unwrap();
    let bound = tokio::time::timeout(Duration::from_secs(20), async {
        while world.store.bound_to("a").is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    bound.await.unwrap();
    running.stop().await.unwrap();
    assert!(mounted.join("ns-a-pvc-1").is_dir());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_watch_ends_the_process() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.store.end_watches();
    let error = running.ended().await.unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_list_does_not_make_up_a_deployment_id() {
    let mut world = World::new();
    world.config.leader_election = true;
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    world.store.delete_lock();
    world.store.mute(true);
    let running = world.start();
    eventually("leader", || {
        world.store.lock_holder().as_deref() == Some("test_1")
    })
    .await;
    running.ask_to_stop();
    running.stop().await.unwrap();
    assert_eq!(world.store.lock_owner(), None);
    world.store.mute(false);
    let running = world.start();
    world.store.delete_claim("a");
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_about_rights_none_is_taken_as_granted() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    world.store.fail("review", ApiCause::Connection, 40);
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    assert!(world.store.volumes()[0].finalizers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_volume_stored_after_its_attempt_ended_is_reclaimed() {
    let mut world = World::new();
    world.config.limits.provision = Duration::from_secs(5);
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    world.store.delay_creation();
    let running = world.start();
    eventually("sent", || world.store.is_delayed()).await;
    world.store.delete_claim("a");
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.store.create_late();
    assert_eq!(world.store.volumes().len(), 1);
    eventually("reclaimed", || {
        world.store.volumes().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

//! Data of nobody is lost or handed to somebody else, whatever others do meanwhile.

use std::time::Duration;

use kube::ResourceExt;
use provisioner::backend::Cause;
use serde_json::json;

use crate::world::{World, claim, class, events_with, eventually};

const ON_DELETE: &str = "claimcheck.dev/on-delete";

async fn saved(world: &World, volume: &str) {
    eventually("saved", || state(world, volume).as_deref() == Some("saved")).await;
}

fn state(world: &World, volume: &str) -> Option<String> {
    let records = world.files.records();
    Some(records.get(volume)?["state"].as_str().unwrap().to_owned())
}

fn edit_on_delete(world: &World, value: &str) {
    world.store.edit_volume("pvc-1", |volume| {
        let annotations = volume.annotations_mut();
        annotations.insert(ON_DELETE.to_owned(), value.to_owned());
    });
}

/// A world in which claim `a` of class `c` is served, has a file, and nothing runs.
async fn served(parameters: serde_json::Value) -> World {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    world.files.put("ns-a-pvc-1/file", "bytes");
    world
}

#[tokio::test(start_paused = true)]
async fn an_administrators_retain_outlives_a_kill_at_any_step() {
    for step in 0..200 {
        let world = served(json!({ "onDelete": "delete" })).await;
        edit_on_delete(&world, "retain");
        world.store.delete_claim("a");
        let settled = || {
            world.store.volumes().is_empty() && state(&world, "pvc-1").is_none_or(|s| s == "kept")
        };
        let first = world.start_until(step);
        eventually("killed or done", || first.steps.is_over() || settled()).await;
        let killed = first.steps.is_over();
        first.kill().await;
        let second = world.start();
        eventually("settled", settled).await;
        second.stop().await.unwrap();
        assert_eq!(
            world
                .files
                .listing()
                .get("ns-a-pvc-1/file")
                .map(String::as_str),
            Some("file: bytes"),
            "step {step}"
        );
        if !killed {
            assert!(step > 5, "only {step} steps were tried");
            return;
        }
    }
    panic!("it never ended");
}

#[tokio::test(start_paused = true)]
async fn an_administrators_retain_counts_for_a_volume_deleted_before_its_claim() {
    let world = served(json!({ "onDelete": "delete" })).await;
    let running = world.start();
    edit_on_delete(&world, "retain");
    eventually("noted", || {
        world.files.records()["pvc-1"]["on_delete"] == "retain"
    })
    .await;
    world.store.force_delete_volume("pvc-1");
    world.store.delete_claim("a");
    eventually("kept", || state(&world, "pvc-1").as_deref() == Some("kept")).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().contains_key("ns-a-pvc-1/file"));
}

#[tokio::test(start_paused = true)]
async fn a_directory_swapped_in_at_the_last_moment_is_put_back() {
    let world = served(json!({ "onDelete": "delete" })).await;
    world.files.before("reserve", |files| {
        files.rename("ns-a-pvc-1", "moved");
        files.put("ns-a-pvc-1/precious", "bytes");
    });
    let running = world.start();
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    let files = world.files.listing();
    assert_eq!(files["ns-a-pvc-1/precious"], "file: bytes");
    assert!(files.contains_key("moved/file"));
    assert_eq!(events_with(&world, "DirectoryKept").len(), 1);
    assert!(world.files.trash().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retained_volume_an_administrator_deletes_goes_and_its_directory_stays() {
    let world = World::new();
    world.store.grant_patch();
    let mut retain = class("c", &json!({ "onDelete": "delete" }));
    retain.reclaim_policy = Some("Retain".to_owned());
    world.store.class(retain);
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    assert_eq!(world.store.volumes()[0].finalizers().len(), 1);
    world.store.delete_claim("a");
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.store.delete_volume("pvc-1");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    eventually("kept", || state(&world, "pvc-1").as_deref() == Some("kept")).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().contains_key("ns-a-pvc-1"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_without_a_record_can_be_deleted_by_hand() {
    let world = World::new();
    world.store.grant_patch();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    let owner = world.store.volumes()[0].annotations()["claimcheck.dev/owner"].clone();
    world
        .files
        .remove(&format!(".claimcheck/{owner}/records/pvc-1"));
    let running = world.start();
    world.store.delete_claim("a");
    eventually("told", || !events_with(&world, "DirectoryKept").is_empty()).await;
    assert_eq!(world.store.volumes().len(), 1);
    world.store.delete_volume("pvc-1");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().contains_key("ns-a-pvc-1"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_lingers_for_others_is_not_reclaimed_twice() {
    let world = World::new();
    world.store.grant_patch();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.store.edit_volume("pvc-1", |volume| {
        volume.finalizers_mut().push("example.org/other".to_owned());
    });
    world.store.delete_claim("a");
    eventually("reclaimed", || world.files.records().is_empty()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(events_with(&world, "DirectoryKept").is_empty());
    assert_eq!(world.store.calls("get volume"), 1);
    world
        .store
        .edit_volume("pvc-1", |volume| volume.finalizers_mut().clear());
    world.store.force_delete_volume("pvc-1");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.store.calls("get volume"), 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_note_does_not_bring_back_the_record_of_a_reclaimed_volume() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    world.files.hold("\"state\": \"saved\"");
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.store.delete_claim("a");
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.files.let_go();
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    running.stop().await.unwrap();
    assert!(
        world.files.records().is_empty(),
        "{:?}",
        world.files.records()
    );
    assert!(world.files.listing().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_inside_a_directory_another_deployment_made_meanwhile() {
    let mut one = World::new();
    one.config.owner = Some("one".to_owned());
    let mut two = World {
        files: one.files.clone(),
        ..World::new()
    };
    two.config.owner = Some("two".to_owned());
    one.store.class(class("ready", &json!({})));
    one.store.claim(claim("ready", "0", "ready"));
    let first = one.start();
    saved(&one, "pvc-0").await;
    two.store.class(class(
        "c",
        &json!({ "pathPattern": "team/x", "onDelete": "delete" }),
    ));
    two.store.claim(claim("a", "1", "c"));
    let second = two.start();
    saved(&two, "pvc-1").await;
    one.store
        .class(class("c", &json!({ "pathPattern": "team/x/y" })));
    one.store.claim(claim("b", "2", "c"));
    eventually("refused or bound", || {
        !events_with(&one, "ProvisioningFailed").is_empty() || one.store.bound_to("b").is_some()
    })
    .await;
    assert_eq!(one.store.bound_to("b"), None);
    assert!(
        events_with(&one, "ProvisioningFailed")[0]
            .0
            .contains("lies in team/x")
    );
    first.stop().await.unwrap();
    second.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_path_is_free_again_after_an_attempt_that_never_got_a_record() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "pathPattern": "shared" })));
    world.files.hold("\"state\": \"intent\"");
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("timed out", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    world.store.delete_claim("a");
    tokio::time::sleep(Duration::from_mins(5)).await;
    world.files.let_go();
    world.store.claim(claim("b", "2", "c"));
    eventually("bound or refused", || {
        world.store.bound_to("b").is_some() || events_with(&world, "ProvisioningFailed").len() > 1
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("b").as_deref(), Some("pvc-2"));
}

#[tokio::test(start_paused = true)]
async fn a_directory_made_by_a_repeated_request_is_ours() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("control", "0", "c"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    // The server did it, the answer was lost, and the client's repetition finds its own work.
    world
        .files
        .before("mkdir", |files| files.make("ns-a-pvc-1", 0o700));
    world.store.claim(claim("a", "1", "c"));
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns-a-pvc-1"], "directory 777");
    assert_eq!(world.files.records()["pvc-1"]["origin"], "created");
}

#[tokio::test(start_paused = true)]
async fn what_another_deployment_made_in_the_place_of_an_intent_is_not_undone() {
    let mut one = World::new();
    one.config.owner = Some("one".to_owned());
    let mut two = World {
        files: one.files.clone(),
        ..World::new()
    };
    two.config.owner = Some("two".to_owned());
    two.store.class(class("ready", &json!({})));
    two.store.claim(claim("ready", "0", "ready"));
    let second = two.start();
    saved(&two, "pvc-0").await;
    // The second knows nothing of this intent: it looked before.
    one.files.fail("mkdir", Cause::NoSpace, usize::MAX);
    one.store
        .class(class("c", &json!({ "pathPattern": "shared" })));
    one.store.claim(claim("a", "1", "c"));
    one.files.make(".claimcheck/one", 0o700);
    one.files.make(".claimcheck/one/records", 0o700);
    one.files.make(".claimcheck/one/trash", 0o700);
    let first = one.start();
    eventually("recorded", || {
        state(&one, "pvc-1").as_deref() == Some("intent")
    })
    .await;
    first.stop().await.unwrap();
    one.files.fail("mkdir", Cause::NoSpace, 0);
    two.store
        .class(class("c", &json!({ "pathPattern": "shared" })));
    two.store.claim(claim("b", "2", "c"));
    saved(&two, "pvc-2").await;
    one.store.delete_claim("a");
    let first = one.start();
    eventually("settled", || state(&one, "pvc-1").is_none()).await;
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    assert!(one.files.listing().contains_key("shared"));
}

/// The directory of a retained volume was removed by hand, and the file system gives its number to
/// the next directory: a parent that others will lie in.
#[tokio::test(start_paused = true)]
async fn a_reused_inode_number_does_not_make_a_new_directory_somebody_elses() {
    let world = World::new();
    let mut retain = class("c", &json!({}));
    retain.reclaim_policy = Some("Retain".to_owned());
    world.store.class(retain);
    let nested = json!({ "pathPattern": "nested/${.PVC.name}" });
    world.store.class(class("n", &nested));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.remove_and_reuse("ns-a-pvc-1");
    world.store.claim(claim("b", "2", "n"));
    saved(&world, "pvc-2").await;
    world.store.claim(claim("d", "3", "n"));
    saved(&world, "pvc-3").await;
    running.stop().await.unwrap();
    assert!(world.files.listing().contains_key("nested/d"));
}

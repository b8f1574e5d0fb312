//! Directories that exist already, are shared, kept or stand on the wrong export.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use provisioner::backend::Cause;
use provisioner::decide::reclaim::{self, RemovalStep};
use provisioner::rules::Rules;
use serde_json::json;

use crate::memory::Steps;
use crate::world::{World, claim, class, events_with, eventually};

#[tokio::test(start_paused = true)]
async fn a_volume_deleted_before_its_claim_is_settled_from_its_record() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    for (name, uid) in [("a", "1"), ("b", "2")] {
        world.store.claim(claim(name, uid, "c"));
    }
    let running = world.start();
    eventually("saved", || {
        world
            .files
            .records()
            .values()
            .filter(|record| record["state"] == "saved")
            .count()
            == 2
    })
    .await;
    world.store.edit_volume("pvc-2", |volume| {
        volume
            .spec
            .as_mut()
            .unwrap()
            .persistent_volume_reclaim_policy = Some("Retain".to_owned());
    });
    eventually("noted", || {
        world.files.records()["pvc-2"]["reclaim_policy"] == "Retain"
    })
    .await;
    for (claim, volume) in [("a", "pvc-1"), ("b", "pvc-2")] {
        world.store.force_delete_volume(volume);
        world.store.delete_claim(claim);
    }
    eventually("settled", || {
        world.files.records().len() == 1 && world.files.records()["pvc-2"]["state"] == "kept"
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["ns-b-pvc-2"]
    );
}

#[tokio::test(start_paused = true)]
async fn with_the_right_to_patch_volumes_get_a_finalizer_and_lose_it() {
    let world = World::new();
    world.store.grant_patch();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    assert_eq!(
        world.store.volumes()[0].finalizers(),
        ["external-provisioner.volume.kubernetes.io/finalizer"]
    );
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.store.calls("patch volume"), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_claims_with_one_path_the_second_is_refused_until_the_first_is_gone() {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "shared", "onDelete": "delete" }),
    ));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.store.claim(claim("b", "2", "c"));
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    assert!(
        events_with(&world, "ProvisioningFailed")[0]
            .0
            .contains("belongs to volume pvc-1")
    );
    world.files.put("shared/file", "of a");
    assert_eq!(world.store.bound_to("b"), None);
    world.store.delete_claim("a");
    eventually("bound", || world.store.bound_to("b").is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["shared"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_kept_directory_is_used_again_by_the_same_name_and_still_ends_as_ours() {
    let world = World::new();
    world.store.class(class(
        "keep",
        &json!({ "pathPattern": "p/${.PVC.name}", "onDelete": "retain" }),
    ));
    world.store.class(class(
        "drop",
        &json!({ "pathPattern": "p/${.PVC.name}", "onDelete": "delete" }),
    ));
    world.store.claim(claim("a", "1", "keep"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.files.put("p/a/file", "bytes");
    world.store.delete_claim("a");
    eventually("kept", || {
        world
            .files
            .records()
            .get("pvc-1")
            .is_some_and(|record| record["state"] == "kept")
    })
    .await;
    world.store.claim(claim("a", "2", "drop"));
    eventually("bound again", || {
        world.store.bound_to("a").as_deref() == Some("pvc-2")
    })
    .await;
    assert_eq!(world.files.listing()["p/a/file"], "file: bytes");
    eventually("one record", || {
        world.files.records().into_keys().collect::<Vec<_>>() == ["pvc-2"]
    })
    .await;
    world.store.delete_claim("a");
    eventually("gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing().into_keys().collect::<Vec<_>>(), ["p"]);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_existed_before_is_used_but_never_removed() {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "${.PVC.namespace}/${.PVC.name}", "onDelete": "delete" }),
    ));
    world.files.put("ns/a/old", "bytes");
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    assert_eq!(
        world.store.volumes()[0].annotations()["claimcheck.dev/origin"],
        "reused"
    );
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns/a/old"], "file: bytes");
    assert_eq!(world.files.listing()["ns/a"], "directory 755");
    assert_eq!(events_with(&world, "DirectoryKept").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_export_without_the_id_on_our_volumes_is_not_touched() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("saved", || {
        world
            .files
            .records()
            .get("pvc-1")
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
    running.stop().await.unwrap();
    let other = World {
        files: crate::memory::FileSystem::new(),
        store: world.store.clone(),
        config: world.config.clone(),
    };
    other.store.delete_claim("a");
    other.store.claim(claim("b", "2", "c"));
    let running = other.start();
    tokio::time::sleep(Duration::from_mins(2)).await;
    running.stop().await.unwrap();
    assert!(other.files.listing().is_empty());
    assert_eq!(
        other.store.volumes().len(),
        1,
        "nothing is reclaimed on the wrong export"
    );
    assert_eq!(other.store.bound_to("b"), None);
    // With the right export back, both are settled.
    let running = world.start();
    eventually("settled", || {
        world.store.bound_to("b").is_some() && world.store.volumes().len() == 1
    })
    .await;
    running.stop().await.unwrap();
}

/// A defect as the mutants make them: exactly one method.
struct VolumeFirst;

impl Rules for VolumeFirst {
    fn removal_order(&self) -> [RemovalStep; 2] {
        let [first, second] = reclaim::REMOVAL_ORDER;
        [second, first]
    }
}

#[tokio::test(start_paused = true)]
async fn one_overridden_decision_is_the_only_difference() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start_with(Steps::unlimited(), Arc::new(VolumeFirst));
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world
        .files
        .fail("rmdir", Cause::PermissionDenied, usize::MAX);
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    assert!(world.files.listing().contains_key("ns-a-pvc-1"));
    running.stop().await.unwrap();
}

//! Classes that change or go after a volume was made, and nodes that go before.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

/// Longer than anything waits before it looks again.
const LONG: Duration = Duration::from_mins(20);
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

async fn saved(world: &World, volume: &str) {
    eventually("saved", || {
        let records = world.files.records();
        records
            .get(volume)
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
}

/// external-provisioner #330: nothing is asked of the class any more, whether it is gone or says
/// something else by now.
#[rstest]
#[case::gone_delete(json!({ "onDelete": "delete" }), None, &[])]
#[case::gone_archive(
    json!({ "pathPattern": "x/${.PVC.name}" }), None,
    &["x", "x/archived-a", "x/archived-a/file"],
)]
#[case::gone_retain(json!({ "onDelete": "retain" }), None, &["ns-a-pvc-1", "ns-a-pvc-1/file"])]
#[case::delete_then_retain(
    json!({ "onDelete": "delete" }), Some(json!({ "onDelete": "retain" })), &[],
)]
#[case::archive_then_delete_elsewhere(
    json!({ "pathPattern": "x/${.PVC.name}" }),
    Some(json!({ "pathPattern": "y/${.PVC.name}", "onDelete": "delete" })),
    &["x", "x/archived-a", "x/archived-a/file"],
)]
#[case::retain_then_delete(
    json!({ "onDelete": "retain" }), Some(json!({ "onDelete": "delete" })),
    &["ns-a-pvc-1", "ns-a-pvc-1/file"],
)]
#[case::delete_then_nonsense(json!({ "onDelete": "delete" }), Some(json!({ "typo": "x" })), &[])]
#[tokio::test(start_paused = true)]
async fn what_was_recorded_counts_whatever_became_of_the_class(
    #[case] parameters: Value,
    #[case] made_anew: Option<Value>,
    #[case] left: &[&str],
    #[values(false, true)] restarted: bool,
) {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.claim(claim("a", "1", "c"));
    let mut running = world.start();
    saved(&world, "pvc-1").await;
    let directory = world.store.volumes()[0].annotations()["claimcheck.dev/directory"].clone();
    world.files.put(&format!("{directory}/file"), "bytes");
    world.store.delete_class("c");
    if let Some(parameters) = made_anew {
        let mut other = class("c", &parameters);
        other.metadata.uid = Some("another".to_owned());
        // The volume has the policy Delete of its own.
        other.reclaim_policy = Some("Retain".to_owned());
        world.store.class(other);
    }
    if restarted {
        running.stop().await.unwrap();
        running = world.start();
    }
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing().into_keys().collect::<Vec<_>>(), left);
    assert!(world.files.trash().is_empty());
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

/// A world with a class that waits for the first pod, and a claim of it with the node, if any, that
/// the scheduler chose.
fn waiting(node: Option<&str>) -> (World, PersistentVolumeClaim) {
    let world = World::new();
    let mut waiting = class("c", &json!({}));
    waiting.volume_binding_mode = Some("WaitForFirstConsumer".to_owned());
    world.store.class(waiting);
    (world, selected(node))
}

fn selected(node: Option<&str>) -> PersistentVolumeClaim {
    let mut claim = claim("a", "1", "c");
    if let Some(node) = node {
        let annotations = claim.annotations_mut();
        annotations.insert(SELECTED_NODE.to_owned(), node.to_owned());
    }
    claim
}

/// kubernetes #100485, external-provisioner #1437: no node of that name exists, and none is asked
/// for.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_selected_node_is_gone_is_served_once() {
    let (world, claim) = waiting(Some("gone"));
    world.store.claim(claim);
    let running = world.start();
    saved(&world, "pvc-1").await;
    tokio::time::sleep(LONG).await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("a").as_deref(), Some("pvc-1"));
    assert_eq!(world.store.calls("create volume"), 1);
    assert!(events_with(&world, "ProvisioningFailed").is_empty());
    let volume = world.store.volumes().remove(0);
    assert_eq!(
        volume.spec.unwrap().node_affinity,
        None,
        "it may be used anywhere"
    );
}

/// The scheduler takes its choice back while the claim cannot be served, and chooses again later.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_node_was_taken_back_waits_for_the_next_one() {
    let (mut world, claim) = waiting(Some("gone"));
    // Every ten minutes what is unfinished is looked at in any case.
    world.config.operations.sweep = None;
    world.store.class(class("good", &json!({})));
    world
        .store
        .claim(crate::world::claim("control", "0", "good"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    world.files.fail("mkdir", Cause::Io, usize::MAX);
    world.store.claim(claim);
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    world.store.claim(selected(None));
    world.files.fail("mkdir", Cause::Io, 0);
    tokio::time::sleep(LONG).await;
    assert_eq!(world.store.calls("create volume"), 1, "the control's alone");
    let looks = world.store.calls("get claim");
    tokio::time::sleep(LONG).await;
    assert_eq!(world.store.calls("get claim"), looks, "it does not loop");
    world.store.claim(selected(Some("other")));
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("a").as_deref(), Some("pvc-1"));
    assert_eq!(world.store.calls("create volume"), 2);
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["ns-a-pvc-1", "ns-control-pvc-0"]
    );
}

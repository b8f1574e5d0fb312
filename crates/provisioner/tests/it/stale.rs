//! A watch that lags behind: what it shows is a reason to look, never what is acted on.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::{Value, json};

use crate::watched::Watched;
use crate::world::{Running, World, claim, class, events_with, eventually};

/// Longer than anything waits before it looks again.
const LONG: Duration = Duration::from_mins(20);

async fn saved(world: &World, volume: &str) {
    eventually("saved", || {
        let records = world.files.records();
        records
            .get(volume)
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
}

fn set_policy(world: &World, volume: &str, policy: &str) {
    world.store.edit_volume(volume, |volume| {
        let spec = volume.spec.as_mut().unwrap();
        spec.persistent_volume_reclaim_policy = Some(policy.to_owned());
    });
}

fn volume_names(world: &World) -> Vec<String> {
    let volumes = world.store.volumes();
    volumes.iter().map(ResourceExt::name_any).collect()
}

fn paths(world: &World) -> Vec<String> {
    world.files.listing().into_keys().collect()
}

/// A world in which the claims `a` and `control` of a class are served, `a` with a file.
async fn served(parameters: &Value) -> (World, Running) {
    let world = World::new();
    world.store.class(class("c", parameters));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("control", "2", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    saved(&world, "pvc-2").await;
    world.files.put("ns-a-pvc-1/file", "bytes");
    (world, running)
}

/// sig-storage-lib #176, external-provisioner #1341: the watch shows the release with the policy
/// Delete, and the patch to Retain not yet.
#[rstest]
#[case(json!({ "onDelete": "delete" }))]
#[case(json!({ "onDelete": "archive" }))]
#[tokio::test(start_paused = true)]
async fn a_policy_patched_to_retain_counts_before_the_watch_shows_it(#[case] parameters: Value) {
    let (world, running) = served(&parameters).await;
    let looks = world.store.calls("get volume");
    world.store.volumes_watched(Watched::hold);
    world.store.delete_claim("control");
    world.store.delete_claim("a");
    set_policy(&world, "pvc-1", "Retain");
    // Both releases, and not what came after them.
    world.store.volumes_watched(|watched| watched.show(2));
    eventually("the control is gone and both were looked at", || {
        volume_names(&world) == ["pvc-1"] && world.store.calls("get volume") >= looks + 2
    })
    .await;
    tokio::time::sleep(LONG).await;
    assert_eq!(volume_names(&world), ["pvc-1"]);
    assert_eq!(world.files.listing()["ns-a-pvc-1/file"], "file: bytes");
    world.store.volumes_watched(Watched::let_go);
    tokio::time::sleep(LONG).await;
    assert_eq!(volume_names(&world), ["pvc-1"]);
    assert_eq!(world.files.listing()["ns-a-pvc-1/file"], "file: bytes");
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
    // It was the policy that held it.
    set_policy(&world, "pvc-1", "Delete");
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(!world.files.listing().contains_key("ns-a-pvc-1"));
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_failed_is_not_tried_again_once_the_policy_is_retain() {
    let (world, running) = served(&json!({ "onDelete": "delete" })).await;
    world
        .files
        .fail("rmdir", Cause::PermissionDenied, usize::MAX);
    world.store.delete_claim("a");
    eventually("refused", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    world.store.volumes_watched(Watched::hold);
    set_policy(&world, "pvc-1", "Retain");
    world.files.fail("rmdir", Cause::PermissionDenied, 0);
    tokio::time::sleep(LONG).await;
    assert_eq!(volume_names(&world), ["pvc-1", "pvc-2"]);
    assert_eq!(world.files.listing()["ns-a-pvc-1/file"], "file: bytes");
    world.store.volumes_watched(Watched::let_go);
    set_policy(&world, "pvc-1", "Delete");
    eventually("reclaimed", || volume_names(&world) == ["pvc-2"]).await;
    running.stop().await.unwrap();
    assert_eq!(paths(&world), ["ns-control-pvc-2"]);
}

fn retained(world: &World) {
    set_policy(world, "pvc-1", "Retain");
}

fn kept_by_word(world: &World) {
    world.store.edit_volume("pvc-1", |volume| {
        let annotations = volume.annotations_mut();
        annotations.insert("claimcheck.dev/on-delete".to_owned(), "retain".to_owned());
    });
}

/// The volume is edited and gone before the watch shows either: nothing is left to be read again,
/// and the record does not know of the edit. Without the right to patch volumes there is no
/// finalizer that would hold it.
#[rstest]
#[case(retained)]
#[case(kept_by_word)]
#[tokio::test(start_paused = true)]
async fn the_last_word_on_a_volume_counts_although_it_is_shown_when_the_volume_is_gone(
    #[case] say: fn(&World),
    #[values(false, true)] claim_goes_first: bool,
) {
    let (world, running) = served(&json!({ "onDelete": "delete" })).await;
    world.store.volumes_watched(Watched::hold);
    say(&world);
    if claim_goes_first {
        world.store.delete_claim("a");
        world.store.force_delete_volume("pvc-1");
    } else {
        world.store.force_delete_volume("pvc-1");
    }
    world.store.force_delete_volume("pvc-2");
    world.store.volumes_watched(Watched::let_go);
    if !claim_goes_first {
        // What is gone is looked at while its claim is still there.
        tokio::time::sleep(LONG).await;
        world.store.delete_claim("a");
    }
    world.store.delete_claim("control");
    eventually("settled", || {
        let records = world.files.records();
        let first = records.get("pvc-1");
        !records.contains_key("pvc-2") && first.is_none_or(|record| record["state"] != "saved")
    })
    .await;
    tokio::time::sleep(LONG).await;
    running.stop().await.unwrap();
    assert_eq!(paths(&world), ["ns-a-pvc-1", "ns-a-pvc-1/file"]);
    assert_eq!(world.files.records()["pvc-1"]["state"], "kept");
}

fn gone(world: &World) {
    world.store.delete_claim("a");
}

fn replaced(world: &World) {
    world.store.delete_claim("a");
    world.store.claim(claim("a", "3", "late"));
}

fn going(world: &World) {
    let mut going = claim("a", "1", "late");
    going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    world.store.claim(going);
}

fn bound_elsewhere(world: &World) {
    let mut bound = claim("a", "1", "late");
    bound.spec.as_mut().unwrap().volume_name = Some("elsewhere".to_owned());
    world.store.claim(bound);
}

/// external-provisioner #1469: what the watch shows of a claim is not what there is any more.
#[rstest]
#[case(gone, None)]
#[case(replaced, Some("pvc-3"))]
#[case(going, None)]
#[case(bound_elsewhere, None)]
#[tokio::test(start_paused = true)]
async fn a_claim_is_read_again_before_it_is_served(
    #[case] change: fn(&World),
    #[case] served: Option<&str>,
) {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("control", "0", "c"));
    world.store.claim(claim("a", "1", "late"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    world.store.claims_watched(Watched::hold);
    change(&world);
    let looks = world.store.calls("get claim");
    // This makes it look at the claim, which waits for the class as far as the watch has shown.
    world.store.class(class("late", &json!({})));
    eventually("looked at", || world.store.calls("get claim") > looks).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(world.store.calls("create volume"), 1, "the control's alone");
    assert_eq!(volume_names(&world), ["pvc-0"]);
    assert_eq!(paths(&world), ["ns-control-pvc-0"]);
    assert_eq!(world.files.records().len(), 1);
    world.store.claims_watched(Watched::let_go);
    if let Some(volume) = served {
        eventually("served", || {
            world.store.bound_to("a").as_deref() == Some(volume)
        })
        .await;
    }
    tokio::time::sleep(LONG).await;
    running.stop().await.unwrap();
    let created = 1 + usize::from(served.is_some());
    assert_eq!(world.store.calls("create volume"), created);
    assert_eq!(world.store.volumes().len(), created);
    assert_eq!(world.files.listing().len(), created);
}

/// external-provisioner #1469: the whole life of a claim has passed, and the watch shows its beginning.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_served_and_is_gone_is_not_served_again(
    #[values(false, true)] another_follows: bool,
) {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("control", "0", "c"));
    // Many times what these lives take: one that begins again and again, in no time at all, ends here.
    let running = world.start_until(400);
    saved(&world, "pvc-0").await;
    world.store.claim(claim("a", "1", "c"));
    world.store.claims_watched(Watched::hold);
    saved(&world, "pvc-1").await;
    world.store.delete_claim("a");
    if another_follows {
        world.store.claim(claim("a", "2", "c"));
    }
    eventually("reclaimed", || {
        volume_names(&world) == ["pvc-0"] && world.files.records().len() == 1
    })
    .await;
    let looks = world.store.calls("get claim");
    world
        .store
        .claims_watched(|watched| watched.show_old(claim("a", "1", "c")));
    eventually("looked at", || world.store.calls("get claim") > looks).await;
    tokio::time::sleep(LONG).await;
    assert_eq!(world.store.calls("create volume"), 2);
    assert_eq!(volume_names(&world), ["pvc-0"]);
    assert_eq!(paths(&world), ["ns-control-pvc-0"]);
    assert_eq!(world.files.records().len(), 1);
    world.store.claims_watched(Watched::let_go);
    tokio::time::sleep(LONG).await;
    running.stop().await.unwrap();
    let expected: &[&str] = if another_follows {
        &["pvc-0", "pvc-2"]
    } else {
        &["pvc-0"]
    };
    assert_eq!(volume_names(&world), expected);
    assert_eq!(paths(&world).len(), expected.len());
}

/// The claim goes while its directory is made, and no watch says so: its volume is stored for
/// nobody, and goes again.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_claim_that_goes_unseen_while_it_is_served_leaves_nothing(
    #[values(false, true)] another_follows: bool,
) {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("control", "0", "c"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    let store = world.store.clone();
    world.files.before("mkdir", move |_| {
        store.delete_claim("a");
        if another_follows {
            store.claim(claim("a", "2", "c"));
        }
    });
    world.store.claim(claim("a", "1", "c"));
    world.store.claims_watched(Watched::hold);
    eventually("stored and reclaimed", || {
        world.store.calls("create volume") == 2
            && volume_names(&world) == ["pvc-0"]
            && world.files.records().len() == 1
    })
    .await;
    tokio::time::sleep(LONG).await;
    assert_eq!(world.store.calls("create volume"), 2);
    assert_eq!(paths(&world), ["ns-control-pvc-0"]);
    world.store.claims_watched(Watched::let_go);
    if another_follows {
        saved(&world, "pvc-2").await;
    }
    tokio::time::sleep(LONG).await;
    running.stop().await.unwrap();
    let left = 1 + usize::from(another_follows);
    assert_eq!(world.store.volumes().len(), left);
    assert_eq!(world.files.listing().len(), left);
    assert_eq!(world.files.records().len(), left);
}

//! The life of claims and volumes, seen on both sides. Beyond 500 lines because it is one list of
//! stories that share nothing else to split by.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use provisioner::backend::Cause;
use provisioner::cluster::ApiCause;
use provisioner::error::Error;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

#[tokio::test(start_paused = true)]
async fn a_claim_is_bound_and_its_directory_made() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "archiveOnDelete": "false" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    assert_eq!(world.store.bound_to("a").as_deref(), Some("pvc-1"));
    assert_eq!(
        world.files.listing(),
        [("ns-a-pvc-1".to_owned(), "directory 777".to_owned())].into()
    );
    eventually("events", || world.store.events().len() == 2).await;
    assert_eq!(
        world.store.events(),
        [
            (
                "Provisioning: External provisioner is provisioning volume for claim \"ns/a\""
                    .to_owned(),
                1
            ),
            (
                "ProvisioningSucceeded: Successfully provisioned volume pvc-1".to_owned(),
                1
            ),
        ]
    );
    eventually("saved", || {
        world.files.records()["pvc-1"]["state"] == "saved"
    })
    .await;
    assert_eq!(
        (
            world.store.calls("get claim"),
            world.store.calls("create volume")
        ),
        (1, 1)
    );
    running.stop().await.unwrap();
}

#[rstest]
#[case(json!({ "archiveOnDelete": "false" }), &[], None)]
#[case(json!({ "onDelete": "delete" }), &[], None)]
#[case(json!({}), &["archived-ns-a-pvc-1", "archived-ns-a-pvc-1/deep", "archived-ns-a-pvc-1/deep/file"], None)]
#[case(json!({ "onDelete": "retain" }), &["ns-a-pvc-1", "ns-a-pvc-1/deep", "ns-a-pvc-1/deep/file"], Some("kept"))]
#[case(json!({ "pathPattern": "${.PVC.namespace}/${.PVC.name}" }), &["ns", "ns/archived-a", "ns/archived-a/deep", "ns/archived-a/deep/file"], None)]
#[case(json!({ "pathPattern": "x/${.PVC.name}", "archiveOnDelete": "false" }), &["x"], None)]
#[tokio::test(start_paused = true)]
async fn a_deleted_claim_leaves_what_its_class_says(
    #[case] parameters: Value,
    #[case] left: &[&str],
    #[case] record: Option<&str>,
) {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    let directory = world.store.volumes()[0].annotations()["claimcheck.dev/directory"].clone();
    world.files.put(&format!("{directory}/deep/file"), "bytes");
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing().into_keys().collect::<Vec<_>>(), left);
    assert_eq!(
        world
            .files
            .records()
            .get("pvc-1")
            .map(|record| record["state"].clone()),
        record.map(Value::from)
    );
    assert!(world.files.trash().is_empty());
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retained_volume_and_its_directory_stay_until_the_policy_is_edited() {
    let world = World::new();
    let mut retain = class("c", &json!({ "onDelete": "delete" }));
    retain.reclaim_policy = Some("Retain".to_owned());
    world.store.class(retain);
    world.store.claim(claim("a", "1", "c"));
    world
        .store
        .class(class("control", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("control", "2", "control"));
    let running = world.start();
    eventually("bound", || {
        world.store.bound_to("a").is_some() && world.store.bound_to("control").is_some()
    })
    .await;
    world.store.delete_claim("a");
    world.store.delete_claim("control");
    eventually("the control is gone", || world.store.volumes().len() == 1).await;
    assert!(world.files.listing().contains_key("ns-a-pvc-1"));
    world.store.edit_volume("pvc-1", |volume| {
        volume
            .spec
            .as_mut()
            .unwrap()
            .persistent_volume_reclaim_policy = Some("Delete".to_owned());
    });
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

#[rstest]
#[case(json!({ "volumeMode": "Block" }), json!({}), "ProvisioningFailed: westos.org/nfs does not support block volume provisioning")]
#[case(json!({ "selector": { "matchLabels": { "a": "b" } } }), json!({}), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": spec.selector")]
#[case(json!({ "dataSource": { "kind": "PersistentVolumeClaim", "name": "x" } }), json!({}), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": the data source PersistentVolumeClaim x")]
#[case(json!({ "volumeAttributesClassName": "gold" }), json!({}), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": spec.volumeAttributesClassName")]
#[case(json!({}), json!({ "typo": "x" }), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": the parameter `typo` is unknown")]
#[case(json!({}), json!({ "archiveOnDelete": "maybe" }), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": the parameter `archiveOnDelete` has the value \"maybe\"")]
#[case(json!({}), json!({ "pathPattern": "../${.PVC.name}" }), "ProvisioningFailed: failed to provision volume with StorageClass \"c\": the pattern")]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_gets_one_event_and_nothing_else(
    #[case] spec: Value,
    #[case] parameters: Value,
    #[case] event: &str,
) {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.class(class("good", &json!({})));
    let mut refused = serde_json::to_value(claim("a", "1", "c")).unwrap();
    for (key, value) in spec.as_object().unwrap() {
        refused["spec"][key] = value.clone();
    }
    world.store.claim(serde_json::from_value(refused).unwrap());
    world.store.claim(claim("control", "2", "good"));
    let running = world.start();
    eventually("the control is bound", || {
        world.store.bound_to("control").is_some()
    })
    .await;
    eventually("told", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    // Looked at again every five minutes: the count rises, no second event.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    running.stop().await.unwrap();
    let told: Vec<_> = world
        .store
        .events()
        .into_iter()
        .filter(|(text, _)| !text.contains("ns/control") && !text.contains("pvc-2"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0.starts_with(event), "{told:?}");
    assert!((2..=4).contains(&told[0].1), "{told:?}");
    assert_eq!(world.store.volumes().len(), 1);
    assert_eq!(world.files.listing().len(), 1);
    assert_eq!(world.files.records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repaired_class_is_served_at_once() {
    let world = World::new();
    world.store.class(class("c", &json!({ "typo": "x" })));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("b", "2", "later"));
    let running = world.start();
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    let before = tokio::time::Instant::now();
    world.store.class(class("c", &json!({})));
    world.store.class(class("later", &json!({})));
    eventually("bound", || {
        world.store.bound_to("a").is_some() && world.store.bound_to("b").is_some()
    })
    .await;
    assert!(before.elapsed() < Duration::from_secs(2));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_waiting_class_is_served_once_a_node_is_selected() {
    let world = World::new();
    let mut waiting = class("c", &json!({}));
    waiting.volume_binding_mode = Some("WaitForFirstConsumer".to_owned());
    world.store.class(waiting);
    world.store.class(class("good", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("control", "2", "good"));
    let running = world.start();
    eventually("the control is bound", || {
        world.store.bound_to("control").is_some()
    })
    .await;
    assert_eq!(world.store.volumes().len(), 1);
    let mut selected = claim("a", "1", "c");
    selected.annotations_mut().insert(
        "volume.kubernetes.io/selected-node".to_owned(),
        "node-0".to_owned(),
    );
    world.store.claim(selected);
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_longer_than_any_retry_budget_ends_with_a_bound_claim() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    let running = world.start();
    eventually("ready", || world.store.calls("get lease") > 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.files.fail("mkdir", Cause::NoSpace, 20);
    world.store.claim(claim("a", "1", "c"));
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    let failures = events_with(&world, "ProvisioningFailed");
    assert_eq!(failures.len(), 1, "one cause, one event: {failures:?}");
    assert!(
        failures[0].0.contains("no space is left on the export"),
        "{failures:?}"
    );
    assert_eq!(world.store.volumes().len(), 1);
    assert_eq!(world.files.listing().len(), 1);
}

#[rstest]
#[case(ApiCause::Unavailable)]
#[case(ApiCause::TimedOut)]
#[case(ApiCause::Forbidden)]
#[tokio::test(start_paused = true)]
async fn a_volume_that_cannot_be_stored_is_tried_again_with_the_same_directory(
    #[case] cause: ApiCause,
) {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "pathPattern": "d/${.PVC.labels.l}" })));
    let mut labelled = claim("a", "1", "c");
    labelled
        .labels_mut()
        .insert("l".to_owned(), "first".to_owned());
    world.store.fail("create volume", cause, 3);
    world.store.claim(labelled.clone());
    let running = world.start();
    eventually("refused", || world.store.calls("create volume") > 0).await;
    // An edit in between does not make a second directory.
    labelled
        .labels_mut()
        .insert("l".to_owned(), "second".to_owned());
    world.store.claim(labelled);
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["d", "d/first"]
    );
    assert_eq!(
        world.store.volumes()[0]
            .spec
            .clone()
            .unwrap()
            .nfs
            .unwrap()
            .path,
        "/export/d/first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_deleted_before_its_volume_is_stored_leaves_nothing() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world
        .store
        .fail("create volume", ApiCause::Forbidden, usize::MAX);
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("refused", || world.store.calls("create volume") > 0).await;
    assert_eq!(world.files.listing().len(), 1);
    world.store.delete_claim("a");
    eventually("cleaned up", || {
        world.files.listing().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_foreign_volume_of_the_wanted_name_is_left_alone() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    let foreign: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": "pvc-1", "uid": "x" },
        "spec": { "nfs": { "server": "server", "path": "/export/theirs" }, "claimRef": { "namespace": "ns", "name": "other", "uid": "9" } },
        "status": { "phase": "Released" },
    }))
    .unwrap();
    world.store.volume(foreign);
    world.files.put("theirs/file", "bytes");
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("told", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert!(
        events_with(&world, "ProvisioningFailed")[0]
            .0
            .contains("a volume named pvc-1 exists")
    );
    assert_eq!(world.store.volumes()[0].metadata.uid.as_deref(), Some("x"));
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["theirs", "theirs/file"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_only_says_it_is_ours_is_left_alone_with_one_event() {
    let world = World::new();
    world.files.put("victim/file", "bytes");
    let forged: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": "forged", "uid": "x", "annotations": { "pv.kubernetes.io/provisioned-by": "westos.org/nfs" } },
        "spec": {
            "nfs": { "server": "server", "path": "/export/victim" }, "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": { "namespace": "ns", "name": "gone", "uid": "9" },
        },
        "status": { "phase": "Released" },
    }))
    .unwrap();
    let running = world.start();
    // What is there at the first start counts as an older provisioner's.
    eventually("started", || world.files.is_taken_over()).await;
    world.store.volume(forged);
    eventually("told", || !events_with(&world, "DirectoryKept").is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.store.volumes().len(), 1);
    assert_eq!(world.files.listing()["victim/file"], "file: bytes");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_was_replaced_is_kept() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.files.remove("ns-a-pvc-1");
    world.files.put("ns-a-pvc-1/precious", "bytes");
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns-a-pvc-1/precious"], "file: bytes");
    assert_eq!(events_with(&world, "DirectoryKept").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_gone_already_is_no_failure() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.files.remove("ns-a-pvc-1");
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
    assert!(world.files.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failed_removal_is_told_and_tried_again() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.files.put("ns-a-pvc-1/file", "bytes");
    world.files.fail("remove", Cause::PermissionDenied, 3);
    world.store.delete_claim("a");
    eventually("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    assert_eq!(
        world.store.volumes().len(),
        1,
        "the volume stays until its directory is gone"
    );
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty() && world.files.trash().is_empty());
    assert!(
        events_with(&world, "VolumeFailedDelete")[0]
            .0
            .contains("the server denied permission")
    );
}

/// The first thing a reclaim writes is the record: an export that fails there is told as well.
#[tokio::test(start_paused = true)]
async fn a_reclaim_that_cannot_note_anything_is_told_as_well() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    eventually("noted", || {
        world.files.records()["pvc-1"]["state"] == "saved"
    })
    .await;
    // What an administrator changed is noted before anything else is done.
    world.files.fail("write", Cause::NoSpace, usize::MAX);
    world.store.edit_volume("pvc-1", |volume| {
        let on_delete = "claimcheck.dev/on-delete".to_owned();
        volume.annotations_mut().insert(on_delete, "delete".into());
    });
    world.store.delete_claim("a");
    eventually("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_archive_never_replaces_another() {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "${.PVC.namespace}/${.PVC.name}" }),
    ));
    world.files.put("ns/archived-a/old", "older");
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    world.files.put("ns/a/new", "newer");
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    let files = world.files.listing();
    assert_eq!(files["ns/archived-a/old"], "file: older");
    assert_eq!(files["ns/archived-a-pvc-1/new"], "file: newer");
}

#[rstest]
#[case::while_it_is_watched(false)]
#[case::while_nobody_watches(true)]
#[tokio::test(start_paused = true)]
async fn a_bound_claim_that_asks_for_more_is_told_once_and_nothing_is_faked(#[case] alone: bool) {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let mut running = Some(world.start());
    eventually("saved", || {
        world
            .files
            .records()
            .get("pvc-1")
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
    if alone {
        running.take().unwrap().stop().await.unwrap();
    }
    let mut grown = serde_json::to_value(claim("a", "1", "c")).unwrap();
    grown["spec"]["volumeName"] = json!("pvc-1");
    grown["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
    grown["status"] = json!({ "capacity": { "storage": "1Gi" } });
    for _ in 0..3 {
        world
            .store
            .claim(serde_json::from_value(grown.clone()).unwrap());
    }
    let running = running.unwrap_or_else(|| {
        assert!(events_with(&world, "VolumeResizeFailed").is_empty());
        world.start()
    });
    eventually("told", || {
        !events_with(&world, "VolumeResizeFailed").is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(events_with(&world, "VolumeResizeFailed").len(), 1);
    let capacity = world.store.volumes()[0]
        .spec
        .clone()
        .unwrap()
        .capacity
        .unwrap();
    assert_eq!(capacity["storage"].0, "1Gi");
}

#[tokio::test(start_paused = true)]
async fn under_election_the_lock_is_taken_first_and_given_back() {
    let mut world = World::new();
    world.config.leader_election = true;
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    assert_eq!(world.store.lock_holder().as_deref(), Some("test_1"));
    running.stop().await.unwrap();
    assert_eq!(world.store.lock_holder().as_deref(), Some(""));
    assert_eq!(events_with(&world, "LeaderElection").len(), 1);
    let owner = world.store.volumes()[0].annotations()["claimcheck.dev/owner"].clone();
    // The next process is the same deployment: it reclaims what the first one made.
    let running = world.start();
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    world.store.claim(claim("b", "2", "c"));
    eventually("bound", || world.store.bound_to("b").is_some()).await;
    assert_eq!(
        world.store.volumes()[0].annotations()["claimcheck.dev/owner"],
        owner
    );
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_lost_its_lock_ends_and_does_nothing_more() {
    let mut world = World::new();
    world.config.leader_election = true;
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("control", "1", "c"));
    let running = world.start();
    eventually("bound", || world.store.bound_to("control").is_some()).await;
    world.store.steal_lock("thief");
    let error = running.ended().await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }));
    assert_eq!(error.exit_code(), 1);
    world.store.claim(claim("late", "2", "c"));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(world.store.volumes().len(), 1);
    assert_eq!(
        world.store.lock_holder().as_deref(),
        Some("thief"),
        "it is not released for the thief"
    );
}

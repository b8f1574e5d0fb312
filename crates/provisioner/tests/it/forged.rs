//! Volumes that somebody else made to look like ours: nothing on the export is touched for them.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

/// Merges `patch` into `base`, as a JSON merge patch does.
fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch,
    }
}

/// A world in which a victim is served and has data, and two directories that nobody recorded.
async fn world() -> World {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("victim", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    world.files.put("ns-victim-pvc-1/file", "precious");
    world.files.put("unrecorded/file", "precious");
    world.files.put("ns/unrecorded/file", "precious");
    world
}

async fn saved(world: &World, volume: &str) {
    eventually("saved", || {
        world
            .files
            .records()
            .get(volume)
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
}

/// Serves one more claim and reclaims it again, so that whatever was to happen before has.
async fn control(world: &World) {
    world.store.claim(claim("control", "control", "c"));
    saved(world, "pvc-control").await;
    world.store.delete_claim("control");
    eventually("the control is gone", || {
        !world.files.listing().contains_key("ns-control-pvc-control")
            && world
                .store
                .volumes()
                .iter()
                .all(|v| v.name_any() != "pvc-control")
    })
    .await;
}

#[rstest]
// Another's directory, by everything the victim's own volume says.
#[case(json!({}), true)]
#[case(json!({ "spec": { "nfs": { "path": "/export/unrecorded" } }, "metadata": { "annotations": { "claimcheck.dev/directory": "unrecorded" } } }), true)]
#[case(json!({ "spec": { "nfs": { "path": "/export/ns/unrecorded" } } }), true)]
// The annotation aims elsewhere than the path.
#[case(json!({ "metadata": { "annotations": { "claimcheck.dev/directory": "unrecorded" } } }), true)]
#[case(json!({ "metadata": { "annotations": { "claimcheck.dev/directory": "../outside" } } }), true)]
// The victim's claim, by its UID.
#[case(json!({ "spec": { "claimRef": { "name": "victim", "uid": "1" } } }), true)]
// Around, inside, the root, the state directory.
#[case(json!({ "spec": { "nfs": { "path": "/export/ns" } } }), true)]
#[case(json!({ "spec": { "nfs": { "path": "/export/ns-victim-pvc-1/below" } } }), true)]
#[case(json!({ "spec": { "nfs": { "path": "/export" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/." } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/.claimcheck" } } }), true)]
// Out and in again, and elsewhere.
#[case(json!({ "spec": { "nfs": { "path": "/export/../export/unrecorded" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/x/../unrecorded" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/other/unrecorded" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/exportunrecorded" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "unrecorded" } } }), false)]
#[case(json!({ "spec": { "nfs": { "server": "elsewhere" } } }), false)]
// Of others, by name, owner or export.
#[case(json!({ "metadata": { "annotations": { "pv.kubernetes.io/provisioned-by": "other.org/nfs" } } }), false)]
#[case(json!({ "metadata": { "annotations": { "pv.kubernetes.io/provisioned-by": null } } }), false)]
#[case(json!({ "metadata": { "annotations": { "claimcheck.dev/owner": "somebody" } } }), false)]
#[case(json!({ "metadata": { "annotations": { "claimcheck.dev/export-id": "somewhere", "claimcheck.dev/owner": null } } }), false)]
#[case(json!({ "spec": { "nfs": null, "hostPath": { "path": "/export/unrecorded" } } }), false)]
#[tokio::test(start_paused = true)]
async fn a_forged_volume_is_left_alone_and_so_is_what_it_aims_at(
    #[case] patch: Value,
    #[case] told: bool,
) {
    let world = world().await;
    let real = world.store.volumes().remove(0);
    let mut forged = serde_json::to_value(&real).unwrap();
    merge(
        &mut forged,
        json!({
            "metadata": { "name": "forged", "uid": "x" },
            "spec": { "claimRef": { "name": "gone", "uid": "9" } },
            "status": { "phase": "Released" },
        }),
    );
    merge(&mut forged, patch);
    let before = world.files.listing();
    world
        .store
        .volume(serde_json::from_value::<PersistentVolume>(forged).unwrap());
    // Seen at the start, and seen again as a change.
    let running = world.start();
    control(&world).await;
    world.store.edit_volume("forged", |volume| {
        volume
            .labels_mut()
            .insert("touched".to_owned(), String::new());
    });
    control(&world).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing(), before);
    assert!(world.files.trash().is_empty());
    assert_eq!(
        world.files.records().into_keys().collect::<Vec<_>>(),
        ["pvc-1"]
    );
    let names: Vec<String> = world
        .store
        .volumes()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert_eq!(names, ["forged", "pvc-1"]);
    let kept = events_with(&world, "DirectoryKept");
    assert_eq!(kept.len(), usize::from(told), "{kept:?}");
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

/// The object of a served claim is deleted and made anew under its name, with another aim.
#[rstest]
#[case(json!({ "nfs": { "path": "/export/unrecorded" } }))]
#[case(json!({ "claimRef": { "name": "gone", "uid": "9" } }))]
#[case(json!({ "nfs": { "path": "/export/.claimcheck/x" }, "claimRef": { "name": "gone", "uid": "9" } }))]
#[tokio::test(start_paused = true)]
async fn a_volume_made_anew_under_the_name_of_a_record_proves_nothing(#[case] spec: Value) {
    let world = world().await;
    let real = world.store.volumes().remove(0);
    let mut forged = serde_json::to_value(&real).unwrap();
    merge(
        &mut forged,
        json!({ "metadata": { "uid": "x" }, "status": { "phase": "Released" }, "spec": spec }),
    );
    let before = world.files.listing();
    world.store.force_delete_volume("pvc-1");
    world
        .store
        .volume(serde_json::from_value::<PersistentVolume>(forged).unwrap());
    let running = world.start();
    control(&world).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing(), before);
    assert_eq!(world.store.volumes().len(), 1);
}

/// A record on the export, in our own directory, that no program of ours wrote.
#[rstest]
#[case(json!({ "directory": "../outside" }))]
#[case(json!({ "directory": "" }))]
#[case(json!({ "directory": ".claimcheck" }))]
#[case(json!({ "directory": "unrecorded/" }))]
#[case(json!({ "archive": ".claimcheck/archived-x", "state": "archiving" }))]
#[case(json!({ "archive": "unrecorded", "state": "archiving", "directory": "ns/unrecorded" }))]
#[case(json!({ "parents": ["unrecorded"] }))]
#[case(json!({ "parents": [""] }))]
#[case(json!({ "replaces": "../../../unrecorded" }))]
#[case(json!({ "volume": "pvc-1" }))]
#[case(json!({ "format": 99 }))]
#[tokio::test(start_paused = true)]
async fn a_forged_record_is_not_believed(#[case] patch: Value) {
    let world = world().await;
    let owner = world.store.volumes()[0].annotations()["claimcheck.dev/owner"].clone();
    let mut record = world.files.records()["pvc-1"].clone();
    merge(
        &mut record,
        json!({
            "volume": "pvc-forged", "directory": "unrecorded", "reclaim_policy": "Delete", "on_delete": "delete",
            "claim": { "name": "gone", "uid": "9" }, "terms": { "remove_parents": true },
        }),
    );
    merge(&mut record, patch);
    let before = world.files.listing();
    world.files.put(
        &format!(".claimcheck/{owner}/records/pvc-forged"),
        &record.to_string(),
    );
    let running = world.start();
    control(&world).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing(), before);
    assert!(
        world.files.records().contains_key("pvc-forged"),
        "it is left for somebody to look at"
    );
}

/// What keeps another deployment's volume from being looked at is not told on it: it is not ours.
#[tokio::test(start_paused = true)]
async fn an_export_that_fails_is_told_on_our_volumes_only() {
    let world = world().await;
    let real = world.store.volumes().remove(0);
    let mut foreign = serde_json::to_value(&real).unwrap();
    merge(
        &mut foreign,
        json!({
            "metadata": {
                "name": "foreign", "uid": "x",
                "annotations": { "claimcheck.dev/owner": "somebody" },
            },
            "spec": {
                "nfs": { "path": "/export/theirs" },
                "claimRef": { "name": "gone", "uid": "9" },
            },
            "status": { "phase": "Released" },
        }),
    );
    let running = world.start();
    control(&world).await;
    world.files.fail("stat", Cause::Io, usize::MAX);
    world
        .store
        .volume(serde_json::from_value::<PersistentVolume>(foreign).unwrap());
    world.store.delete_claim("victim");
    eventually("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    // Tried again a few times.
    tokio::time::sleep(Duration::from_mins(2)).await;
    running.stop().await.unwrap();
    for (message, _) in events_with(&world, "VolumeFailedDelete") {
        assert!(!message.contains("foreign"), "{message}");
    }
}

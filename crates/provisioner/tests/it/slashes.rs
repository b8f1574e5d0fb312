//! Exports that are given as `/`, with a slash at the end or with more than one in between
//! (nfs-subdir #221).

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::config::ExportPath;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

const PATTERN: &str = "${.PVC.namespace}/deep/${.PVC.name}";

fn on(export: &str) -> World {
    let mut world = World::new();
    world.config.target.export = ExportPath::new(export).unwrap();
    world
}

fn nfs_path(volume: &PersistentVolume) -> String {
    let nfs = volume.spec.as_ref().unwrap().nfs.as_ref().unwrap();
    nfs.path.clone()
}

fn paths(world: &World) -> Vec<String> {
    world.files.listing().into_keys().collect()
}

#[rstest]
#[case("/", "/ns/deep/a")]
#[case("/export/", "/export/ns/deep/a")]
#[case("//srv//nfs/", "/srv/nfs/ns/deep/a")]
#[tokio::test(start_paused = true)]
async fn nested_directories_end_as_their_class_says(
    #[case] export: &str,
    #[case] path: &str,
    #[values("delete", "archive", "retain")] on_delete: &str,
    #[values(false, true)] restarted: bool,
) {
    let world = on(export);
    let parameters = json!({ "pathPattern": PATTERN, "onDelete": on_delete });
    world.store.class(class("c", &parameters));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("neighbour", "2", "c"));
    let mut running = world.start();
    eventually("both saved", || {
        let records = world.files.records();
        let saved = records.values().filter(|record| record["state"] == "saved");
        saved.count() == 2
    })
    .await;
    assert_eq!(nfs_path(&world.store.volumes()[0]), path);
    world.files.put("ns/deep/a/file", "of a");
    world.files.put("ns/deep/neighbour/file", "precious");
    if restarted {
        running.stop().await.unwrap();
        running = world.start();
    }
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().len() == 1).await;
    running.stop().await.unwrap();
    let (gone, left): (&[&str], &[&str]) = match on_delete {
        "delete" => (&["a", "archived-a"], &[]),
        "archive" => (&["a"], &["archived-a/file"]),
        _ => (&["archived-a"], &["a/file"]),
    };
    let files = world.files.listing();
    for name in gone {
        assert!(!files.contains_key(&format!("ns/deep/{name}")), "{files:?}");
    }
    for name in left {
        assert_eq!(files[&format!("ns/deep/{name}")], "file: of a");
    }
    assert_eq!(files["ns/deep/neighbour/file"], "file: precious");
    assert!(world.files.trash().is_empty());
    assert!(events_with(&world, "DirectoryKept").is_empty());
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

/// A volume that nfs-subdir made for a pattern, however its path is spelled.
fn older(path: &str) -> PersistentVolume {
    let volume: Value = json!({
        "metadata": {
            "name": "older", "uid": "uid-of-older",
            "annotations": { "pv.kubernetes.io/provisioned-by": "westos.org/nfs" },
        },
        "spec": {
            "nfs": { "server": "server", "path": path },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "c",
            "claimRef": { "namespace": "ns", "name": "gone", "uid": "9" },
        },
        "status": { "phase": "Released" },
    });
    serde_json::from_value(volume).unwrap()
}

#[rstest]
#[case("/", "/ns/deep/old")]
#[case("/", "//ns/deep/old")]
#[case("/export/", "/export/ns/deep/old")]
#[case("/export/", "/export//ns/deep/old/")]
#[tokio::test(start_paused = true)]
async fn a_volume_of_an_older_provisioner_is_taken_over_and_archived_beside_itself(
    #[case] export: &str,
    #[case] path: &str,
) {
    let world = on(export);
    world
        .store
        .class(class("c", &json!({ "pathPattern": PATTERN })));
    world.store.volume(older(path));
    world.files.put("ns/deep/old/file", "bytes");
    world.files.put("old/file", "another's");
    let running = world.start();
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    let expected = [
        "ns",
        "ns/deep",
        "ns/deep/archived-old",
        "ns/deep/archived-old/file",
        "old",
        "old/file",
    ];
    assert_eq!(paths(&world), expected);
    assert!(events_with(&world, "DirectoryKept").is_empty());
}

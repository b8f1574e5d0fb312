//! Records that somebody removed from the export while their volumes live: told, and brought back
//! where an administrator says so.

use std::sync::Arc;

use kube::ResourceExt;
use provisioner::commands::{Report as _, adopt};
use provisioner::rules::SoundRules;
use provisioner::seams::Seams;
use rstest::rstest;
use serde_json::{Value, json};

use crate::api::Api;
use crate::memory::{Memory, Steps};
use crate::world::{World, claim, class, eventually};

/// One claim is served by a class with these parameters; its record.
async fn served(world: &World, parameters: &Value) -> Value {
    world.store.class(class("c", parameters));
    world.store.claim(claim("a", "1", "c"));
    eventually("saved", || {
        world
            .files
            .records()
            .get("pvc-1")
            .is_some_and(|record| record["state"] == "saved")
    })
    .await;
    world.files.records()["pvc-1"].clone()
}

fn remove_record(world: &World) {
    let owner = world.store.volumes()[0].annotations()["claimcheck.dev/owner"].clone();
    world
        .files
        .remove(&format!(".claimcheck/{owner}/records/pvc-1"));
}

/// What the command tells, by volume, and whether it is good.
async fn adopt(world: &World, volumes: Option<&[String]>, dry_run: bool) -> (Value, bool) {
    let steps = Steps::unlimited();
    let seams = Seams {
        storage: Arc::new(Memory {
            files: world.files.clone(),
            steps: steps.clone(),
        }),
        cluster: Arc::new(Api {
            store: world.store.clone(),
            steps,
        }),
        rules: Arc::new(SoundRules),
    };
    let report = adopt::run(&world.config, &seams, volumes, dry_run)
        .await
        .unwrap();
    (
        report.json()["volumes"].clone(),
        report.complaint().is_none(),
    )
}

#[tokio::test(start_paused = true)]
async fn the_running_provisioner_gets_a_removed_record_back_as_it_was() {
    let world = World::new();
    let running = world.start();
    let parameters = json!({ "pathPattern": "deep/${.PVC.name}", "onDelete": "delete", "removeEmptyParents": "true" });
    let record = served(&world, &parameters).await;
    let one = ["pvc-1".to_owned()];
    let (rows, good) = adopt(&world, Some(&one), false).await;
    assert_eq!(rows[0]["outcome"], "left", "{rows}");
    assert!(
        !good
            && rows[0]["message"]
                .as_str()
                .unwrap()
                .contains("has its record")
    );

    remove_record(&world);
    let (rows, good) = adopt(&world, None, true).await;
    assert_eq!(rows[0]["outcome"], "would-be-handed-over", "{rows}");
    assert!(good && world.files.records().is_empty());
    let (rows, _) = adopt(&world, Some(&one), false).await;
    assert_eq!(rows[0]["outcome"], "handed-over", "{rows}");
    eventually("back", || !world.files.records().is_empty()).await;
    assert_eq!(world.files.records()["pvc-1"], record);
    // It is complete: the parent that was made goes as well.
    world.store.delete_claim("a");
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

/// The next process knows nothing but the volume object.
#[rstest]
#[case(json!({ "onDelete": "delete" }), "adopted", "delete", false)]
#[case(json!({}), "adopted", "archive", false)]
// A directory that was there before its volume is not removed, record or no record.
#[case(json!({ "onDelete": "delete", "pathPattern": "here", "existingDirectory": "reuse" }), "reused", "delete", true)]
#[tokio::test(start_paused = true)]
async fn after_a_restart_a_removed_record_is_made_anew_from_the_volume(
    #[case] parameters: Value,
    #[case] origin: &str,
    #[case] on_delete: &str,
    #[case] stays: bool,
) {
    let world = World::new();
    world.files.put("here/file", "precious");
    let running = world.start();
    let record = served(&world, &parameters).await;
    running.stop().await.unwrap();
    remove_record(&world);
    // The class has another word by now: what the volume says counts.
    world
        .store
        .class(class("c", &json!({ "onDelete": "retain" })));
    let running = world.start();
    let (rows, _) = adopt(&world, None, false).await;
    assert_eq!(rows[0]["outcome"], "handed-over", "{rows}");
    eventually("back", || !world.files.records().is_empty()).await;
    let again = world.files.records()["pvc-1"].clone();
    assert_eq!(again["origin"], origin);
    assert_eq!(again["on_delete"], on_delete);
    for same in ["directory", "identity", "claim", "state"] {
        assert_eq!(again[same], record[same], "{same}");
    }
    world.store.delete_claim("a");
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    let directory = record["directory"].as_str().unwrap();
    assert_eq!(world.files.listing().contains_key(directory), stays);
    assert_eq!(world.files.listing()["here/file"], "file: precious");
}

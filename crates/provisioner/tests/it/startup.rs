//! The start: which export is believed to be the right one, and what a process leaves that is asked
//! to stop before it is ready.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::json;
use tokio::time::Instant;

use crate::memory::FileSystem;
use crate::world::{Running, World, claim, class, eventually};

/// Long enough for several attempts, on the paused clock.
const SOME_TIME: Duration = Duration::from_mins(2);

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

/// One claim is served, and its provisioner has ended.
async fn served() -> World {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    world
}

/// Volume objects like that of the claim, which name another export and directories nobody knows.
fn forge(world: &World, number: usize, export: &str) -> Vec<String> {
    let real = world.store.volumes().remove(0);
    let forged = |number| {
        let name = format!("forged-{number}");
        let mut forged = serde_json::to_value(&real).unwrap();
        forged["metadata"]["name"] = json!(name);
        forged["metadata"]["uid"] = json!(format!("uid-of-{name}"));
        forged["metadata"]["annotations"]["claimcheck.dev/export-id"] = json!(export);
        forged["spec"]["nfs"]["path"] = json!(format!("/export/unrecorded-{number}"));
        forged["spec"]["claimRef"]["name"] = json!("gone");
        forged["spec"]["claimRef"]["uid"] = json!(name);
        forged["status"] = json!({ "phase": "Released" });
        world
            .files
            .put(&format!("unrecorded-{number}/file"), "precious");
        world
            .store
            .volume(serde_json::from_value::<PersistentVolume>(forged).unwrap());
        name
    };
    (0..number).map(forged).collect()
}

/// Whoever may write volume objects cannot stop the service with them, be they many.
#[rstest]
#[case(1)]
#[case(3)]
#[tokio::test(start_paused = true)]
async fn volumes_that_name_another_export_stop_nobody_whose_records_are_on_this_one(
    #[case] number: usize,
) {
    let world = served().await;
    let forged = forge(&world, number, "elsewhere");
    let before = world.files.listing();
    let running = world.start();
    world.store.claim(claim("b", "2", "c"));
    saved(&world, "pvc-2").await;
    world.store.delete_claim("b");
    world.store.delete_claim("a");
    eventually("both are reclaimed, nothing else is", || {
        let left = world.store.volumes();
        let left: Vec<String> = left.iter().map(ResourceExt::name_any).collect();
        left == forged
    })
    .await;
    running.stop().await.unwrap();
    let mut expected = before;
    expected.remove("ns-a-pvc-1");
    assert_eq!(world.files.listing(), expected);
}

/// An export that only a forged volume names is still the wrong one.
#[rstest]
#[case(None)]
#[case(Some(".claimcheck/OWNER/records/forged-0"))]
#[case(Some(".claimcheck/another/records/forged-0"))]
#[tokio::test(start_paused = true)]
async fn an_export_that_only_volumes_without_a_record_name_is_not_touched(
    #[case] no_record: Option<&str>,
) {
    let world = served().await;
    forge(&world, 1, "elsewhere");
    let wrong = World {
        files: FileSystem::new(),
        store: world.store.clone(),
        config: world.config.clone(),
    };
    wrong.files.put(".claimcheck/export-id/id", "elsewhere\n");
    if let Some(path) = no_record {
        let owner = world.store.volumes()[1].annotations()["claimcheck.dev/owner"].clone();
        // Of another deployment, or of ours but none that a program of ours wrote.
        wrong.files.put(&path.replace("OWNER", &owner), "{}");
    }
    let before = wrong.files.state();
    wrong.store.claim(claim("b", "2", "c"));
    let running = wrong.start();
    tokio::time::sleep(SOME_TIME).await;
    assert_eq!(wrong.store.bound_to("b"), None);
    running.stop().await.unwrap();
    assert_eq!(wrong.files.state(), before);
    assert!(wrong.files.listing().is_empty());
    // The right one is back.
    let running = world.start();
    eventually("bound", || world.store.bound_to("b").is_some()).await;
    running.stop().await.unwrap();
}

/// Asks to stop while a file is half written; the process waits for that.
async fn stopped_half_way(world: &World, text: &'static str) -> Running {
    world.files.hold_half(Some(text));
    let running = world.start();
    eventually("half written", || !temporaries(world).is_empty()).await;
    running.ask_to_stop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!running.has_ended(), "it leaves a temporary file behind");
    running
}

fn temporaries(world: &World) -> Vec<String> {
    let mut paths = world.files.state();
    paths.retain(|path| path.contains(".tmp-") || path.contains("/new-") || path.contains("probe"));
    paths
}

#[rstest]
// The export's id, a UUID, and the probe.
#[case("-")]
#[case("written to see")]
#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_stop_while_it_makes_the_export_ready_leaves_nothing_half_made(
    #[case] text: &'static str,
) {
    let world = World::new();
    let running = stopped_half_way(&world, text).await;
    world.files.hold_half(None);
    running.stop().await.unwrap();
    assert_eq!(temporaries(&world), Vec::<String>::new());
    assert!(!world.files.is_taken_over(), "it went no further");
}

#[tokio::test(start_paused = true)]
async fn an_export_that_hangs_holds_up_the_end_for_a_few_seconds_only() {
    let world = World::new();
    let asked = Instant::now();
    let running = stopped_half_way(&world, "written to see").await;
    running.stop().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(temporaries(&world).len(), 1, "the call is still under way");
    // The next process removes what is left.
    world.files.hold_half(None);
    let running = world.start();
    eventually("ready", || world.files.is_taken_over()).await;
    running.stop().await.unwrap();
    assert_eq!(temporaries(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_waits_for_its_export_ends_at_once() {
    let world = World::new();
    world.files.fail("read", Cause::Unreachable, usize::MAX);
    let running = world.start();
    tokio::time::sleep(SOME_TIME).await;
    let asked = Instant::now();
    running.stop().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_asked_to_stop_while_it_takes_volumes_over_leaves_nothing_half_made() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    for number in 0..40 {
        let name = format!("older-{number}");
        world.files.put(&format!("{name}/file"), "precious");
        let volume = json!({
            "metadata": {
                "name": name, "uid": name,
                "annotations": { "pv.kubernetes.io/provisioned-by": "westos.org/nfs" },
            },
            "spec": {
                "nfs": { "server": "server", "path": format!("/export/{name}") },
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "c",
                "claimRef": { "namespace": "ns", "name": name, "uid": name },
            },
        });
        world
            .store
            .volume(serde_json::from_value::<PersistentVolume>(volume).unwrap());
    }
    let running = stopped_half_way(&world, "adopted").await;
    world.files.hold_half(None);
    running.stop().await.unwrap();
    assert_eq!(temporaries(&world), Vec::<String>::new());
    let begun = world.files.records().len();
    assert!((1..40).contains(&begun), "{begun}");
    assert!(!world.files.is_taken_over());
    let running = world.start();
    eventually("taken over", || world.files.is_taken_over()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.records().len(), 40);
}

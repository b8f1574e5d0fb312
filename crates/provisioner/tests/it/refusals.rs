//! An export that makes a directory and then refuses its mode or owner: what was made is no volume.

use std::time::Duration;

use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::json;

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

fn paths(world: &World) -> Vec<String> {
    world.files.listing().into_keys().collect()
}

/// A world in which a claim is served and everything is made that is made once; from then on `setattr`
/// is refused, and `rmdir` too if asked for.
async fn refusing(rmdir: bool) -> (World, Running) {
    let world = World::new();
    world.store.class(class("good", &json!({})));
    world.store.class(class(
        "owned",
        &json!({ "directoryUid": "1000", "directoryGid": "2000", "directoryMode": "0750" }),
    ));
    world.store.class(class(
        "nested",
        &json!({ "pathPattern": "team/x/${.PVC.name}", "directoryUid": "1000", "directoryGid": "2000", "directoryMode": "0750" }),
    ));
    world.store.claim(claim("control", "0", "good"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    let times = |refused: bool| if refused { usize::MAX } else { 0 };
    world
        .files
        .fail("setattr", Cause::PermissionDenied, times(true));
    world
        .files
        .fail("rmdir", Cause::PermissionDenied, times(rmdir));
    (world, running)
}

fn mend(world: &World) {
    for operation in ["setattr", "rmdir"] {
        world.files.fail(operation, Cause::PermissionDenied, 0);
    }
}

/// Waits for the event, and that nothing comes of the claim for a long time; the event.
async fn refused(world: &World) -> String {
    eventually("told", || {
        !events_with(world, "ProvisioningFailed").is_empty()
    })
    .await;
    tokio::time::sleep(LONG).await;
    let told = events_with(world, "ProvisioningFailed");
    assert_eq!(told.len(), 1, "one cause, one event: {told:?}");
    assert_eq!(world.store.bound_to("a"), None);
    assert_eq!(world.store.volumes().len(), 1, "the control's alone");
    told[0].0.clone()
}

#[rstest]
#[case("owned", "ns-a-pvc-1", false, &[])]
#[case("nested", "team/x/a", false, &[])]
// What cannot even be taken back stays, and is gone on with.
#[case("owned", "ns-a-pvc-1", true, &["ns-a-pvc-1"])]
#[case("nested", "team/x/a", true, &["team", "team/x", "team/x/a"])]
#[tokio::test(start_paused = true)]
async fn a_directory_whose_owner_is_refused_is_no_volume_until_it_has_the_owner(
    #[case] of: &str,
    #[case] directory: &str,
    #[case] rmdir: bool,
    #[case] left: &[&str],
) {
    let (world, running) = refusing(rmdir).await;
    world.store.claim(claim("a", "1", of));
    let told = refused(&world).await;
    for words in ["setattr", directory, "the server denied permission"] {
        assert!(told.contains(words), "{told}");
    }
    let mut expected = vec!["ns-control-pvc-0"];
    expected.extend(left);
    expected.sort_unstable();
    assert_eq!(paths(&world), expected);
    mend(&world);
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    assert_eq!(world.files.attributes(directory), (0o750, 1000, 2000));
    assert_eq!(world.files.records()["pvc-1"]["origin"], "created");
    assert_eq!(world.store.bound_to("a").as_deref(), Some("pvc-1"));
}

/// The directory is there already, empty, by a request whose answer was lost; its mode is to be set.
#[tokio::test(start_paused = true)]
async fn a_directory_whose_mode_is_refused_is_no_volume_until_it_has_the_mode() {
    let (world, running) = refusing(false).await;
    world
        .files
        .before("mkdir", |files| files.make("ns-a-pvc-1", 0o700));
    world.store.claim(claim("a", "1", "good"));
    let told = refused(&world).await;
    assert!(told.contains("the server denied permission"), "{told}");
    assert_eq!(world.files.listing()["ns-a-pvc-1"], "directory 700");
    mend(&world);
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns-a-pvc-1"], "directory 777");
    assert_eq!(world.files.records()["pvc-1"]["origin"], "created");
}

#[tokio::test(start_paused = true)]
async fn what_was_half_made_goes_with_its_claim() {
    let (world, running) = refusing(true).await;
    world.store.claim(claim("a", "1", "owned"));
    refused(&world).await;
    assert!(world.files.listing().contains_key("ns-a-pvc-1"));
    world.store.delete_claim("a");
    tokio::time::sleep(LONG).await;
    assert!(
        world.files.records().contains_key("pvc-1"),
        "what is left is known"
    );
    mend(&world);
    eventually("cleaned up", || {
        world.files.records().len() == 1 && paths(&world) == ["ns-control-pvc-0"]
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.store.volumes().len(), 1);
}

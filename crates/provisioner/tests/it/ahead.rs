//! Claims of a burst, served before the controller-manager asks for it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Running, World, claim, class, eventually};

/// Claims of a burst: more than are served as usual.
const BURST: usize = 100;
/// Together with one that is asked for, so many are no burst.
const FEW: usize = 63;
/// How long it is seen that nothing happens.
const A_WHILE: Duration = Duration::from_mins(10);

/// A claim the controller-manager has not come to.
fn unasked(number: usize) -> PersistentVolumeClaim {
    let mut claim = claim(&name(number), &number.to_string(), "c");
    claim.metadata.annotations = None;
    claim
}

fn name(number: usize) -> String {
    format!("claim-{number}")
}

/// What the controller-manager does when it comes to a claim that has no volume.
fn ask_for(world: &World, number: usize) {
    let mut asked = unasked(number);
    asked.metadata.annotations = claim("any", "any", "c").metadata.annotations;
    world.store.claim(asked);
}

/// A world with class `c` and so many claims that nobody has asked for.
async fn waiting(count: usize) -> (World, Running) {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    world.store.class(class("other", &json!({})));
    let running = world.start();
    for number in 0..count {
        world.store.claim(unasked(number));
    }
    tokio::time::sleep(A_WHILE).await;
    (world, running)
}

/// One claim of another class, asked for and served: the others were seen before.
async fn one_is_served(world: &World) {
    world.store.claim(claim("asked", "asked", "other"));
    eventually("served", || world.store.bound_to("asked").is_some()).await;
}

fn bound(world: &World, count: usize) -> usize {
    let is_bound = |number: &usize| world.store.bound_to(&name(*number)).is_some();
    (0..count).filter(is_bound).count()
}

fn static_volume(spec: &Value) -> PersistentVolume {
    serde_json::from_value(
        json!({ "metadata": { "name": "static", "uid": "static" }, "spec": spec }),
    )
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn claims_of_a_burst_are_served_once_the_volumes_are_known_to_be_up_to_date() {
    let (world, running) = waiting(BURST).await;
    assert_eq!(
        world.store.volumes().len(),
        0,
        "nothing tells how far the watch has come"
    );
    one_is_served(&world).await;
    eventually("all are bound", || bound(&world, BURST) == BURST).await;
    assert_eq!(world.store.calls("create volume"), BURST + 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_few_claims_wait_until_they_are_asked_for() {
    let (world, running) = waiting(FEW).await;
    one_is_served(&world).await;
    // All of its claims are looked at again.
    let edited = json!({ "archiveOnDelete": "false" });
    world.store.class(class("c", &edited));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(bound(&world, FEW), 0);
    for number in 0..FEW {
        ask_for(&world, number);
    }
    eventually("all are bound", || bound(&world, FEW) == FEW).await;
    running.stop().await.unwrap();
}

/// With one of each, only the claims are served that the controller-manager can have no other
/// volume for.
#[rstest]
#[case::of_the_class(json!({ "storageClassName": "c" }), 0)]
#[case::reserved_for_one(json!({ "storageClassName": "x", "claimRef": { "namespace": "ns", "name": "claim-7" } }), BURST - 1)]
#[case::of_another_class(json!({ "storageClassName": "x" }), BURST)]
#[tokio::test(start_paused = true)]
async fn a_claim_waits_that_a_volume_is_there_for(#[case] spec: Value, #[case] served: usize) {
    let (world, running) = waiting(BURST).await;
    world.store.volume(static_volume(&spec));
    one_is_served(&world).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(bound(&world, BURST), served);

    for number in (0..BURST).filter(|number| world.store.bound_to(&name(*number)).is_none()) {
        ask_for(&world, number);
    }
    eventually("all are bound", || bound(&world, BURST) == BURST).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_gone_keeps_nobody_waiting() {
    let (world, running) = waiting(BURST).await;
    let of_the_class = json!({ "storageClassName": "c" });
    world.store.volume(static_volume(&of_the_class));
    world.store.force_delete_volume("static");
    one_is_served(&world).await;
    eventually("all are bound", || bound(&world, BURST) == BURST).await;
    running.stop().await.unwrap();
}

/// The watch of volumes lags behind that of claims: it has yet to show a volume that an
/// administrator made before the claims.
#[tokio::test(start_paused = true)]
async fn a_volume_that_was_there_first_is_not_overlooked() {
    let (world, running) = waiting(0).await;
    world.store.volumes_watched(crate::watched::Watched::hold);
    world
        .store
        .volume(static_volume(&json!({ "storageClassName": "c" })));
    for number in 0..BURST {
        world.store.claim(unasked(number));
    }
    tokio::time::sleep(A_WHILE).await;
    one_is_served(&world).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(
        bound(&world, BURST),
        0,
        "nothing tells how far the watch has come"
    );
    world.store.volumes_watched(crate::watched::Watched::let_go);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(bound(&world, BURST), 0, "a volume of their class is there");
    running.stop().await.unwrap();
}

#[rstest]
#[case::for_a_pod(json!({ "volumeBindingMode": "WaitForFirstConsumer" }))]
#[case::for_another_provisioner(json!({ "provisioner": "other.org/nfs" }))]
#[tokio::test(start_paused = true)]
async fn claims_wait_that_nobody_may_ask_us_for(#[case] patch: Value) {
    let (world, running) = waiting(0).await;
    let mut class = serde_json::to_value(class("c", &json!({}))).unwrap();
    for (key, value) in patch.as_object().unwrap() {
        class[key] = value.clone();
    }
    world.store.class(serde_json::from_value(class).unwrap());
    for number in 0..BURST {
        world.store.claim(unasked(number));
    }
    tokio::time::sleep(A_WHILE).await;
    one_is_served(&world).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(bound(&world, BURST), 0);
    running.stop().await.unwrap();
}

/// Killed anywhere in a burst, when the next process knows nothing of the order of the watches:
/// whoever is asked for then has one volume and one directory, and nothing is left of the others.
#[rstest]
#[case(0)]
#[case(1)]
#[case(2)]
#[case(3)]
#[tokio::test(start_paused = true)]
async fn what_was_begun_ahead_goes_on_when_it_is_asked_for(#[case] remainder: usize) {
    // Every 28th step of those that a burst has, 7 apart in the four cases.
    for step in (remainder * 7..).step_by(28) {
        let world = World::new();
        world.store.class(class("c", &json!({})));
        world.store.class(class("other", &json!({})));
        let first = world.start_until(step);
        for number in 0..BURST {
            world.store.claim(unasked(number));
        }
        world.store.claim(claim("asked", "asked", "other"));
        eventually("killed or done", || {
            first.steps.is_over() || bound(&world, BURST) == BURST
        })
        .await;
        let killed = first.steps.is_over();
        first.kill().await;

        let begun = world.files.records().len();
        let second = world.start();
        for number in 0..BURST {
            match number % 2 {
                _ if world.store.bound_to(&name(number)).is_some() => {}
                0 => ask_for(&world, number),
                _ => world.store.delete_claim(&name(number)),
            }
        }
        let wanted = || {
            let claims = (0..BURST).filter(|number| world.store.has_claim(&name(*number)));
            claims.count() + 1
        };
        let saved = || {
            let records = world.files.records();
            let saved = records.values().filter(|record| record["state"] == "saved");
            saved.count() == wanted() && records.len() == wanted()
        };
        eventually(
            &format!("settled after a kill at step {step}, {begun} begun"),
            saved,
        )
        .await;
        second.stop().await.unwrap();
        let volumes: Vec<String> = world
            .store
            .volumes()
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert_eq!(volumes.len(), wanted(), "step {step}: {volumes:?}");
        assert_eq!(world.files.listing().len(), wanted(), "step {step}");
        if !killed {
            assert!(step > 500, "only {step} steps");
            return;
        }
    }
}

//! Directories of several claims: who may join, who goes last, and what is done then.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use provisioner::backend::Cause;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

/// More steps than any of these lives has.
const MANY: usize = 200;

fn shared(scope: &str, on_delete: &str) -> Value {
    json!({ "pathPattern": "shared", "sharedDirectory": scope, "onDelete": on_delete, "directoryMode": "0770" })
}

fn in_namespace(namespace: &str, name: &str, uid: &str, class: &str) -> PersistentVolumeClaim {
    let mut claim = claim(name, uid, class);
    claim.metadata.namespace = Some(namespace.to_owned());
    claim
}

fn state(world: &World, volume: &str) -> Option<String> {
    let records = world.files.records();
    Some(records.get(volume)?["state"].as_str().unwrap().to_owned())
}

async fn saved(world: &World, volume: &str) {
    eventually("saved", || state(world, volume).as_deref() == Some("saved")).await;
}

async fn gone(world: &World, claim: &str, left: usize) {
    world.store.delete_claim(claim);
    eventually("volume gone", || world.store.volumes().len() == left).await;
}

fn set_policy(world: &World, volume: &str, policy: &str) {
    world.store.edit_volume(volume, |volume| {
        let spec = volume.spec.as_mut().unwrap();
        spec.persistent_volume_reclaim_policy = Some(policy.to_owned());
    });
}

#[rstest]
#[case("forbid", "forbid", "ns", false)]
#[case("forbid", "cluster", "ns", false)]
#[case("cluster", "forbid", "ns", false)]
#[case("namespace", "namespace", "ns", true)]
#[case("namespace", "namespace", "other", false)]
#[case("cluster", "namespace", "other", false)]
#[case("namespace", "cluster", "other", false)]
#[case("cluster", "cluster", "other", true)]
#[tokio::test(start_paused = true)]
async fn a_claim_joins_where_its_class_and_that_of_the_others_consent(
    #[case] first: &str,
    #[case] second: &str,
    #[case] namespace: &str,
    #[case] joins: bool,
) {
    let world = World::new();
    world.store.class(class("one", &shared(first, "delete")));
    world.store.class(class("two", &shared(second, "delete")));
    world.store.claim(claim("a", "1", "one"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.put("shared/file", "of a");
    world.store.claim(in_namespace(namespace, "b", "2", "two"));
    eventually("bound or refused", || {
        world.store.bound_to("b").is_some() || !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("b").is_some(), joins);
    if !joins {
        let told = events_with(&world, "ProvisioningFailed");
        assert!(told[0].0.contains("belongs to volume pvc-1"), "{told:?}");
        if second != "forbid" {
            assert!(
                told[0].0.contains(&format!(
                    "sharedDirectory is {second} for this claim and {first} for that volume"
                )),
                "{told:?}"
            );
        }
    }
}

/// All at once: the others wait for the first to make the directory and get no failure.
#[rstest]
#[tokio::test(start_paused = true)]
async fn claims_that_come_together_share_one_directory_without_a_failure(
    #[values(false, true)] finalizers: bool,
) {
    let world = World::new();
    if finalizers {
        world.store.grant_patch();
    }
    world
        .store
        .class(class("c", &shared("namespace", "delete")));
    for at in 0..20 {
        let claim = claim(&format!("claim-{at}"), &at.to_string(), "c");
        world.store.claim(claim);
    }
    let running = world.start();
    eventually("all are bound", || {
        (0..20).all(|at| world.store.bound_to(&format!("claim-{at}")).is_some())
    })
    .await;
    assert_eq!(
        world.files.listing(),
        [("shared".to_owned(), "directory 770".to_owned())].into()
    );
    assert!(events_with(&world, "ProvisioningFailed").is_empty());
    eventually("all are saved", || {
        (0..20).all(|at| state(&world, &format!("pvc-{at}")).as_deref() == Some("saved"))
    })
    .await;
    // And all go together: one of them is the last.
    for at in 0..20 {
        world.store.delete_claim(&format!("claim-{at}"));
    }
    eventually("all are gone", || {
        world.store.volumes().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
    assert!(world.files.trash().is_empty());
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_sets_mode_and_the_directory_goes_with_the_last() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "delete")));
    let mut other = shared("namespace", "delete");
    other["directoryMode"] = json!("0700");
    world.store.class(class("other", &other));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.put("shared/file", "bytes");
    world.store.claim(claim("b", "2", "other"));
    saved(&world, "pvc-2").await;
    assert_eq!(world.files.attributes("shared").0, 0o770);
    gone(&world, "a", 1).await;
    assert_eq!(world.files.listing()["shared/file"], "file: bytes");
    eventually("told", || !events_with(&world, "DirectoryKept").is_empty()).await;
    let told = events_with(&world, "DirectoryKept");
    assert_eq!(told.len(), 1);
    assert!(
        told[0]
            .0
            .contains("/export/shared is kept: volume pvc-2 still shares it"),
        "{told:?}"
    );
    eventually("its record went", || state(&world, "pvc-1").is_none()).await;
    gone(&world, "b", 0).await;
    eventually("no record is left", || world.files.records().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

/// Two that go one after the other, by the policies they were recorded with.
#[rstest]
#[case("delete", "delete", &[])]
#[case("archive", "delete", &["archived-shared", "archived-shared/file"])]
#[case("delete", "archive", &["archived-shared", "archived-shared/file"])]
#[case("retain", "delete", &["shared", "shared/file"])]
#[case("delete", "retain", &["shared", "shared/file"])]
#[case("retain", "archive", &["shared", "shared/file"])]
#[case("archive", "archive", &["archived-shared", "archived-shared/file"])]
#[tokio::test(start_paused = true)]
async fn the_last_one_does_what_protects_most(
    #[case] first: &str,
    #[case] second: &str,
    #[case] left: &[&str],
    #[values(false, true)] restarted: bool,
) {
    let world = World::new();
    world.store.class(class("one", &shared("cluster", first)));
    world.store.class(class("two", &shared("cluster", second)));
    world.store.claim(claim("a", "1", "one"));
    let mut running = world.start();
    saved(&world, "pvc-1").await;
    world.store.claim(claim("b", "2", "two"));
    saved(&world, "pvc-2").await;
    world.files.put("shared/file", "bytes");
    gone(&world, "a", 1).await;
    if restarted {
        running.stop().await.unwrap();
        running = world.start();
    }
    gone(&world, "b", 0).await;
    eventually("settled", || {
        let records = world.files.records();
        if left.first() == Some(&"shared") {
            records.len() == 1 && records["pvc-2"]["state"] == "kept"
        } else {
            records.is_empty()
        }
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing().into_keys().collect::<Vec<_>>(), left);
}

#[tokio::test(start_paused = true)]
async fn what_was_wanted_by_those_who_left_takes_one_record_each_at_most() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "archive")));
    world.store.claim(claim("stays", "0", "c"));
    let running = world.start();
    saved(&world, "pvc-0").await;
    world.files.put("shared/file", "bytes");
    for at in 1..10 {
        let name = format!("claim-{at}");
        world.store.claim(claim(&name, &at.to_string(), "c"));
        saved(&world, &format!("pvc-{at}")).await;
        gone(&world, &name, 1).await;
        eventually("settled", || {
            state(&world, &format!("pvc-{at}")).as_deref() != Some("saved")
        })
        .await;
    }
    assert_eq!(world.files.records().len(), 2, "one wish is remembered");
    gone(&world, "stays", 0).await;
    eventually("no record is left", || world.files.records().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["archived-shared/file"], "file: bytes");
}

#[tokio::test(start_paused = true)]
async fn a_retained_volume_counts_until_its_object_is_gone() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "delete")));
    for (name, uid) in [("a", "1"), ("b", "2")] {
        world.store.claim(claim(name, uid, "c"));
    }
    let running = world.start();
    saved(&world, "pvc-1").await;
    saved(&world, "pvc-2").await;
    world.files.put("shared/file", "bytes");
    set_policy(&world, "pvc-1", "Retain");
    eventually("noted", || {
        world.files.records()["pvc-1"]["reclaim_policy"] == "Retain"
    })
    .await;
    world.store.delete_claim("a");
    gone(&world, "b", 1).await;
    assert_eq!(world.files.listing()["shared/file"], "file: bytes");
    set_policy(&world, "pvc-1", "Delete");
    eventually("both are gone", || {
        world.store.volumes().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

/// Somebody made a volume by hand that names the directory of a claim.
#[tokio::test(start_paused = true)]
async fn a_directory_that_a_volume_made_by_hand_names_too_is_kept() {
    let world = World::new();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.put("ns-a-pvc-1/file", "bytes");
    let by_hand: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": "by-hand", "uid": "x" },
        "spec": { "nfs": { "server": "server", "path": "/export/ns-a-pvc-1" }, "persistentVolumeReclaimPolicy": "Retain" },
    }))
    .unwrap();
    world.store.volume(by_hand);
    gone(&world, "a", 1).await;
    eventually("kept", || state(&world, "pvc-1").as_deref() == Some("kept")).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns-a-pvc-1/file"], "file: bytes");
    let told = events_with(&world, "DirectoryKept");
    assert!(
        told[0].0.contains("volume by-hand names it too"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_only_joined_leaves_the_directory_alone() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "delete")));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.store.fail(
        "create volume",
        provisioner::cluster::ApiCause::Forbidden,
        usize::MAX,
    );
    world.store.claim(claim("b", "2", "c"));
    eventually("joined", || {
        state(&world, "pvc-2").as_deref() == Some("ready")
    })
    .await;
    world.store.delete_claim("b");
    eventually("forgotten", || state(&world, "pvc-2").is_none()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["shared"]
    );
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_last_one_is_being_removed_gets_a_new_directory() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "delete")));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.put("shared/file", "of a");
    world.files.fail("remove", Cause::Io, 2);
    world.store.delete_claim("a");
    eventually("being removed", || {
        state(&world, "pvc-1").as_deref() == Some("deleting")
    })
    .await;
    world.store.claim(claim("b", "2", "c"));
    saved(&world, "pvc-2").await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing(),
        [("shared".to_owned(), "directory 770".to_owned())].into()
    );
    assert_eq!(world.files.records()["pvc-2"]["origin"], "created");
}

#[tokio::test(start_paused = true)]
async fn what_shared_volumes_kept_may_be_shared_again() {
    let world = World::new();
    world
        .store
        .class(class("c", &shared("namespace", "retain")));
    world
        .store
        .class(class("forbid", &shared("forbid", "delete")));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.files.put("shared/file", "bytes");
    gone(&world, "a", 0).await;
    eventually("kept", || state(&world, "pvc-1").as_deref() == Some("kept")).await;
    world.store.claim(claim("b", "2", "forbid"));
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    world.store.claim(claim("d", "3", "c"));
    saved(&world, "pvc-3").await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("b"), None);
    assert_eq!(world.files.listing()["shared/file"], "file: bytes");
    assert_eq!(state(&world, "pvc-1"), None, "the new record says it all");
}

/// Killed before each change while the first of two goes, then while the last one goes: in the end
/// the most protective policy was applied once, and nothing is left behind.
#[rstest]
#[case("archive", "delete", &["archived-shared", "archived-shared/file"])]
#[case("delete", "delete", &[])]
#[case("delete", "archive", &["archived-shared", "archived-shared/file"])]
#[tokio::test(start_paused = true)]
async fn leaving_goes_on_after_a_kill_at_any_step(
    #[case] first: &str,
    #[case] second: &str,
    #[case] left: &[&str],
) {
    for step in 0..MANY {
        let world = World::new();
        world.store.class(class("one", &shared("cluster", first)));
        world.store.class(class("two", &shared("cluster", second)));
        world.store.claim(claim("a", "1", "one"));
        world.store.claim(claim("b", "2", "two"));
        let running = world.start();
        saved(&world, "pvc-1").await;
        saved(&world, "pvc-2").await;
        running.stop().await.unwrap();
        world.files.put("shared/file", "bytes");
        world.store.delete_claim("a");
        world.store.delete_claim("b");
        let settled = || world.store.volumes().is_empty() && world.files.records().is_empty();
        let killed = world.start_until(step);
        eventually("killed or done", || killed.steps.is_over() || settled()).await;
        let over = killed.steps.is_over();
        killed.kill().await;
        let running = world.start();
        eventually(&format!("settled after a kill at step {step}"), settled).await;
        running.stop().await.unwrap();
        assert_eq!(
            world.files.listing().into_keys().collect::<Vec<_>>(),
            left,
            "step {step}"
        );
        assert!(world.files.trash().is_empty(), "step {step}");
        if !over {
            assert!(step > 10, "only {step} steps were tried");
            return;
        }
    }
    panic!("it never ended within {MANY} steps");
}

/// Killed before each change while two claims come to one directory.
#[tokio::test(start_paused = true)]
async fn joining_goes_on_after_a_kill_at_any_step() {
    for step in 0..MANY {
        let world = World::new();
        world
            .store
            .class(class("c", &shared("namespace", "delete")));
        world.store.claim(claim("a", "1", "c"));
        world.store.claim(claim("b", "2", "c"));
        let settled = || {
            ["pvc-1", "pvc-2"]
                .iter()
                .all(|volume| state(&world, volume).as_deref() == Some("saved"))
        };
        let killed = world.start_until(step);
        eventually("killed or done", || killed.steps.is_over() || settled()).await;
        let over = killed.steps.is_over();
        killed.kill().await;
        let running = world.start();
        eventually(&format!("settled after a kill at step {step}"), settled).await;
        assert_eq!(
            world.files.listing(),
            [("shared".to_owned(), "directory 770".to_owned())].into(),
            "step {step}"
        );
        world.store.delete_claim("a");
        world.store.delete_claim("b");
        eventually(&format!("gone after a kill at step {step}"), || {
            world.store.volumes().is_empty() && world.files.records().is_empty()
        })
        .await;
        running.stop().await.unwrap();
        assert!(world.files.listing().is_empty(), "step {step}");
        if !over {
            assert!(step > 10, "only {step} steps were tried");
            return;
        }
    }
    panic!("it never ended within {MANY} steps");
}

//! What the parameters of a class do to the directories of its volumes, seen on the export.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use provisioner::class::{ClaimOverrides, DirectoryRules, ExistingDirectory};
use provisioner::config::DirectoryAttributes;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, claim, class, events_with, eventually};

const MODE: &str = "k8s-sigs.io/nfs-directory-mode";
const UID: &str = "k8s-sigs.io/nfs-directory-uid";
const GID: &str = "k8s-sigs.io/nfs-directory-gid";

fn annotated(annotations: &[(&str, &str)]) -> PersistentVolumeClaim {
    let mut claim = claim("a", "1", "c");
    for (key, value) in annotations {
        claim
            .annotations_mut()
            .insert((*key).to_owned(), (*value).to_owned());
    }
    claim
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

#[rstest]
#[case(json!({}), &[], (0o777, 0, 0))]
#[case(json!({ "directoryMode": "2770", "directoryUid": "1000", "directoryGid": "2000" }), &[], (0o2770, 1000, 2000))]
#[case(json!({ "directoryGid": "2000" }), &[], (0o777, 0, 2000))]
#[case(json!({ "directoryMode": "0700" }), &[(MODE, "0777"), (UID, "5")], (0o700, 0, 0))]
#[case(json!({ "directoryMode": "0700", "allowClaimOverrides": "mode,uid" }), &[(MODE, "0750"), (UID, "5"), (GID, "6")], (0o750, 5, 0))]
#[tokio::test(start_paused = true)]
async fn a_directory_has_the_mode_and_owner_it_was_asked_for(
    #[case] parameters: Value,
    #[case] annotations: &[(&str, &str)],
    #[case] expected: (u32, u32, u32),
) {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.claim(annotated(annotations));
    let running = world.start();
    saved(&world, "pvc-1").await;
    running.stop().await.unwrap();
    assert_eq!(world.files.attributes("ns-a-pvc-1"), expected);
}

#[tokio::test(start_paused = true)]
async fn the_deployments_defaults_count_where_a_class_says_nothing() {
    let mut world = World::new();
    world.config.attributes = DirectoryAttributes {
        mode: 0o770,
        uid: Some(7),
        gid: None,
    };
    world.config.directories = DirectoryRules {
        existing: Some(ExistingDirectory::Refuse),
        overrides: Some(ClaimOverrides {
            gid: true,
            ..ClaimOverrides::default()
        }),
        ..DirectoryRules::default()
    };
    let fixed = |more: Value| {
        let mut parameters = json!({ "pathPattern": "old" });
        let more = more.as_object().unwrap().clone();
        parameters.as_object_mut().unwrap().extend(more);
        parameters
    };
    world
        .store
        .class(class("c", &json!({ "directoryUid": "8" })));
    world.store.class(class("refuse", &fixed(json!({}))));
    world
        .store
        .class(class("own", &fixed(json!({ "existingDirectory": "own" }))));
    world.files.put("old/file", "bytes");
    world.store.claim(annotated(&[(GID, "9"), (MODE, "0")]));
    world.store.claim(claim("b", "2", "refuse"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    assert_eq!(world.files.attributes("ns-a-pvc-1"), (0o770, 8, 9));
    world.store.claim(claim("d", "3", "own"));
    saved(&world, "pvc-3").await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("b"), None);
}

#[rstest]
#[case(json!({ "existingDirectory": "maybe" }), &[], &["`existingDirectory`", "\"maybe\"", "own, reuse and refuse"])]
#[case(json!({ "sharedDirectory": "yes" }), &[], &["`sharedDirectory`", "\"yes\"", "forbid, namespace and cluster"])]
#[case(json!({ "directoryMode": "0999" }), &[], &["`directoryMode`", "\"0999\"", "octal numbers from 0 to 07777"])]
#[case(json!({ "directoryUid": "root" }), &[], &["`directoryUid`", "\"root\"", "0 to 4294967294"])]
#[case(json!({ "directoryGid": "4294967295" }), &[], &["`directoryGid`", "\"4294967295\"", "0 to 4294967294"])]
#[case(json!({ "allowClaimOverrides": "all" }), &[], &["`allowClaimOverrides`", "\"all\"", "mode, uid and gid"])]
#[case(json!({ "removeEmptyParents": "yes" }), &[], &["`removeEmptyParents`", "\"yes\"", "true"])]
#[case(json!({ "checkFreeSpace": "10Gi" }), &[], &["`checkFreeSpace`", "\"10Gi\"", "false"])]
#[case(json!({ "allowClaimOverrides": "mode" }), &[(MODE, "rwx")], &[MODE, "\"rwx\"", "octal numbers from 0 to 07777"])]
#[case(json!({ "allowClaimOverrides": "uid,gid" }), &[(GID, "-1")], &[GID, "\"-1\"", "0 to 4294967294"])]
#[tokio::test(start_paused = true)]
async fn a_refused_value_gets_one_event_that_names_it_and_what_is_allowed(
    #[case] parameters: Value,
    #[case] annotations: &[(&str, &str)],
    #[case] named: &[&str],
) {
    let world = World::new();
    world.store.class(class("c", &parameters));
    world.store.class(class("good", &json!({})));
    world.store.claim(annotated(annotations));
    world.store.claim(claim("control", "2", "good"));
    let running = world.start();
    saved(&world, "pvc-2").await;
    eventually("told", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    // Looked at again every five minutes: the count rises, no second event.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    running.stop().await.unwrap();
    let told = events_with(&world, "ProvisioningFailed");
    assert_eq!(told.len(), 1, "{told:?}");
    for text in named {
        assert!(told[0].0.contains(text), "{told:?}");
    }
    assert_eq!(
        world.files.listing().into_keys().collect::<Vec<_>>(),
        ["ns-control-pvc-2"]
    );
    assert_eq!(world.files.records().len(), 1);
}

/// A claim whose label aims at a directory nobody recorded.
#[rstest]
#[case("own", "${.PVC.labels.dir}", false)]
#[case("own", "data/${.PVC.name}", true)]
#[case("reuse", "${.PVC.labels.dir}", true)]
#[case("refuse", "data/${.PVC.name}", false)]
#[tokio::test(start_paused = true)]
async fn a_directory_that_exists_is_used_as_the_class_says(
    #[case] policy: &str,
    #[case] pattern: &str,
    #[case] served: bool,
) {
    let world = World::new();
    world.files.put("data/a/file", "bytes");
    world.store.class(class(
        "c",
        &json!({ "existingDirectory": policy, "pathPattern": pattern, "onDelete": "delete", "directoryMode": "0700" }),
    ));
    // Labels hold no slash, so the other level is tried with what the pattern adds.
    let mut aiming = claim("a", "1", "c");
    aiming
        .labels_mut()
        .insert("dir".to_owned(), "data".to_owned());
    world.store.claim(aiming);
    let running = world.start();
    if served {
        saved(&world, "pvc-1").await;
        assert_eq!(world.files.records()["pvc-1"]["origin"], "reused");
        world.store.delete_claim("a");
        eventually("volume gone", || world.store.volumes().is_empty()).await;
        assert_eq!(events_with(&world, "DirectoryKept").len(), 1);
    } else {
        eventually("refused", || {
            !events_with(&world, "ProvisioningFailed").is_empty()
        })
        .await;
        assert!(
            events_with(&world, "ProvisioningFailed")[0]
                .0
                .contains("existingDirectory")
        );
    }
    running.stop().await.unwrap();
    let files = world.files.listing();
    assert_eq!(files["data/a/file"], "file: bytes");
    assert_eq!(files["data/a"], "directory 755", "never chmodded");
    assert_eq!(files["data"], "directory 755", "never chmodded");
}

#[rstest]
#[case("archived-a")]
#[case("archived-a/below")]
#[case("Archived-a")]
#[tokio::test(start_paused = true)]
async fn an_archive_is_not_used_again_whatever_the_class_says(#[case] directory: &str) {
    let world = World::new();
    world.files.put(&format!("{directory}/file"), "bytes");
    world.store.class(class(
        "c",
        &json!({ "existingDirectory": "reuse", "pathPattern": directory }),
    ));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.store.bound_to("a"), None);
    assert!(
        events_with(&world, "ProvisioningFailed")[0]
            .0
            .contains("an archived directory is never used again")
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_same_name_kept_is_refused_too_where_nothing_may_exist() {
    let world = World::new();
    let parameters = |policy: &str| json!({ "existingDirectory": policy, "pathPattern": "p/${.PVC.name}", "onDelete": "retain" });
    world.store.class(class("c", &parameters("own")));
    world.store.class(class("strict", &parameters("refuse")));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.store.delete_claim("a");
    eventually("kept", || world.store.volumes().is_empty()).await;
    world.store.claim(claim("a", "2", "strict"));
    eventually("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    assert_eq!(world.store.bound_to("a"), None);
    world.files.remove("p/a");
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn parents_made_here_go_with_the_last_directory_in_them() {
    let world = World::new();
    let parameters = json!({ "pathPattern": "made/ns/${.PVC.name}", "onDelete": "delete", "removeEmptyParents": "true" });
    world.store.class(class("c", &parameters));
    for (name, uid) in [("a", "1"), ("b", "2")] {
        world.store.claim(claim(name, uid, "c"));
        let running = world.start();
        saved(&world, &format!("pvc-{uid}")).await;
        running.stop().await.unwrap();
    }
    let running = world.start();
    // The first to be made is the first to go: the second has to know whose the parents are.
    world.store.delete_claim("a");
    eventually("one is gone", || world.store.volumes().len() == 1).await;
    assert!(world.files.listing().contains_key("made/ns/b"));
    world.store.delete_claim("b");
    eventually("both are gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(
        world.files.listing().is_empty(),
        "{:?}",
        world.files.listing()
    );
}

#[tokio::test(start_paused = true)]
async fn volumes_that_go_together_leave_no_parent() {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "made/ns/${.PVC.name}", "onDelete": "delete", "removeEmptyParents": "true" }),
    ));
    let names: Vec<String> = (0..20).map(|at| format!("claim-{at}")).collect();
    for (at, name) in names.iter().enumerate() {
        world.store.claim(claim(name, &at.to_string(), "c"));
    }
    let running = world.start();
    for at in 0..names.len() {
        saved(&world, &format!("pvc-{at}")).await;
    }
    for name in &names {
        world.store.delete_claim(name);
    }
    eventually("all are gone", || {
        world.store.volumes().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert!(
        world.files.listing().is_empty(),
        "{:?}",
        world.files.listing()
    );
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

#[rstest]
// Somebody made it before.
#[case("true", Some("made/other"), &["made", "made/other"])]
#[case("true", Some("made/ns/other"), &["made", "made/ns", "made/ns/other"])]
// Nobody asked for it.
#[case("false", None, &["made", "made/ns"])]
#[tokio::test(start_paused = true)]
async fn a_parent_stays_that_holds_something_or_was_not_made_here(
    #[case] remove: &str,
    #[case] other: Option<&str>,
    #[case] left: &[&str],
) {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "made/ns/${.PVC.name}", "onDelete": "delete", "removeEmptyParents": remove }),
    ));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    if let Some(other) = other {
        world.files.put(other, "bytes");
    }
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing().into_keys().collect::<Vec<_>>(), left);
}

#[tokio::test(start_paused = true)]
async fn an_empty_parent_that_was_there_before_stays() {
    let world = World::new();
    world.files.make("team", 0o2770);
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "team/x/${.PVC.name}", "onDelete": "delete", "removeEmptyParents": "true" }),
    ));
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    saved(&world, "pvc-1").await;
    world.store.delete_claim("a");
    eventually("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing(),
        [("team".to_owned(), "directory 2770".to_owned())].into()
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_gone_takes_the_parents_made_for_it_along() {
    let world = World::new();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "made/ns/${.PVC.name}", "removeEmptyParents": "true" }),
    ));
    world.store.fail(
        "create volume",
        provisioner::cluster::ApiCause::Forbidden,
        usize::MAX,
    );
    world.store.claim(claim("a", "1", "c"));
    let running = world.start();
    eventually("refused", || world.store.calls("create volume") > 0).await;
    assert!(world.files.listing().contains_key("made/ns/a"));
    world.store.delete_claim("a");
    eventually("cleaned up", || {
        world.files.listing().is_empty() && world.files.records().is_empty()
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_above_what_is_free_waits_until_there_is_room() {
    let world = World::new();
    world.files.set_free((1 << 30) - 1);
    world
        .store
        .class(class("c", &json!({ "checkFreeSpace": "true" })));
    world.store.class(class("unchecked", &json!({})));
    world.store.claim(claim("a", "1", "c"));
    world.store.claim(claim("control", "2", "unchecked"));
    let running = world.start();
    saved(&world, "pvc-2").await;
    eventually("told", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    // Every look finds another number; it is one event all the same.
    for free in [1 << 20, 1 << 21, 1 << 22] {
        world.files.set_free(free);
        tokio::time::sleep(Duration::from_secs(1000)).await;
    }
    let told = events_with(&world, "ProvisioningFailed");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].0.contains("1Gi") && told[0].0.contains("checkFreeSpace"),
        "{told:?}"
    );
    assert_eq!(world.files.listing().len(), 1);
    world.files.set_free(1 << 30);
    eventually("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
}

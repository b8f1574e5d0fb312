//! Volumes of an older provisioner: taken over at the first start, whatever interrupts it, and
//! ended by what was recorded then.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, PersistentVolume};
use kube::ResourceExt;
use provisioner::rules::SoundRules;
use rstest::rstest;
use serde_json::{Value, json};

use crate::crashes::at_every_step;
use crate::memory::Steps;
use crate::world::{World, claim, class, events_with, eventually};

/// A volume as nfs-subdir makes it, and its directory with a file in it.
fn older(world: &World, name: &str, path: &str, class: &str, phase: &str) {
    world.files.put(&format!("{path}/data"), name);
    let volume = json!({
        "metadata": {
            "name": name, "uid": format!("uid-of-{name}"),
            "annotations": { "pv.kubernetes.io/provisioned-by": "westos.org/nfs" },
        },
        "spec": {
            "nfs": { "server": "server", "path": format!("/export/{path}") },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": class,
            "claimRef": { "namespace": "ns", "name": format!("claim-of-{name}"), "uid": format!("claim-uid-of-{name}") },
        },
        "status": { "phase": phase },
    });
    world
        .store
        .volume(serde_json::from_value::<PersistentVolume>(volume).unwrap());
}

/// The same with a claim that is bound to it.
fn older_bound(world: &World, name: &str, path: &str, class_name: &str) {
    let mut claim = claim(
        &format!("claim-of-{name}"),
        &format!("claim-uid-of-{name}"),
        class_name,
    );
    claim.spec.as_mut().unwrap().volume_name = Some(name.to_owned());
    world.store.claim(claim);
    older(world, name, path, class_name, "Bound");
}

fn archiving(world: &World) {
    world.store.class(class("archiving", &json!({})));
}

#[tokio::test(start_paused = true)]
async fn taking_over_goes_on_after_a_kill_at_any_step() {
    let kills = at_every_step(
        |world| {
            archiving(world);
            world
                .store
                .class(class("deleting", &json!({ "archiveOnDelete": "false" })));
            world.files.put("unrelated/file", "bytes");
            older_bound(world, "bound", "ns-bound", "archiving");
            older(
                world,
                "archived",
                "deep/ns-archived",
                "archiving",
                "Released",
            );
            older(world, "deleted", "ns-deleted", "deleting", "Released");
        },
        |_| {},
        |world, step| {
            let files = world.files.listing();
            let expected = [
                "deep",
                "deep/archived-ns-archived",
                "deep/archived-ns-archived/data",
                "ns-bound",
                "ns-bound/data",
                "unrelated",
                "unrelated/file",
            ];
            assert_eq!(
                files.into_keys().collect::<Vec<_>>(),
                expected,
                "step {step}"
            );
            assert!(world.files.trash().is_empty(), "step {step}");
            let records = world.files.records();
            assert_eq!(records.len(), 1, "step {step}");
            assert_eq!(records["bound"]["origin"], "adopted", "step {step}");
            assert_eq!(records["bound"]["on_delete"], "archive", "step {step}");
        },
        |world| {
            world.files.is_taken_over()
                && world.store.volumes().len() == 1
                && world.files.records().len() == 1
        },
    )
    .await;
    assert!(kills >= 12, "only {kills} kills");
}

#[tokio::test(start_paused = true)]
async fn what_appears_after_the_first_start_is_left_alone_until_it_is_handed_over() {
    let world = World::new();
    archiving(&world);
    let running = world.start();
    eventually("started", || world.files.is_taken_over()).await;
    older(&world, "late", "ns-late", "archiving", "Released");
    eventually("told", || !events_with(&world, "DirectoryKept").is_empty()).await;
    running.stop().await.unwrap();
    // Nor is it taken over by the next process.
    let running = world.start();
    eventually("told again", || {
        events_with(&world, "DirectoryKept").len() > 1
    })
    .await;
    assert!(world.files.records().is_empty());
    world.store.edit_volume("late", |volume| {
        volume
            .annotations_mut()
            .insert("claimcheck.dev/adopt".to_owned(), "true".to_owned());
    });
    eventually("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["archived-ns-late/data"], "file: late");
    assert!(world.files.records().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_cannot_be_proved_ours_is_not_taken_over_even_if_asked_for() {
    let world = World::new();
    archiving(&world);
    for (name, path) in [("reserved", ".claimcheck/x"), ("link", "way/ns-link")] {
        older(&world, name, "elsewhere", "archiving", "Released");
        world.store.edit_volume(name, |volume| {
            volume.spec.as_mut().unwrap().nfs.as_mut().unwrap().path = format!("/export/{path}");
            volume
                .annotations_mut()
                .insert("claimcheck.dev/adopt".to_owned(), "true".to_owned());
        });
    }
    // What stands at the second's path is a file.
    world.files.put("way/ns-link", "a file");
    let running = world.start();
    eventually("both told", || {
        events_with(&world, "DirectoryKept").len() == 2
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(world.store.volumes().len(), 2);
    assert!(world.files.records().is_empty());
    assert_eq!(world.files.listing()["way/ns-link"], "file: a file");
}

#[tokio::test(start_paused = true)]
async fn without_its_class_a_volume_waits_for_the_class_or_a_word() {
    let world = World::new();
    older_bound(&world, "back", "ns-back", "returning");
    older_bound(&world, "said", "ns-said", "returning");
    older_bound(&world, "lost", "ns-lost", "returning");
    let running = world.start();
    eventually("recorded", || world.files.records().len() == 3).await;
    assert_eq!(world.files.records()["back"]["awaits_class"], "returning");
    for name in ["back", "said"] {
        world.store.delete_claim(&format!("claim-of-{name}"));
    }
    eventually("told", || {
        events_with(&world, "VolumeFailedDelete").len() == 2
    })
    .await;
    assert!(
        events_with(&world, "VolumeFailedDelete")[0]
            .0
            .contains("create the class again")
    );
    world.store.edit_volume("said", |volume| {
        volume
            .annotations_mut()
            .insert("claimcheck.dev/on-delete".to_owned(), "archive".to_owned());
    });
    eventually("one reclaimed", || world.store.volumes().len() == 2).await;
    assert_eq!(world.files.listing()["archived-ns-said/data"], "file: said");
    assert_eq!(world.files.listing()["ns-back/data"], "file: back");

    // An object that goes first takes nothing with it either.
    world.store.force_delete_volume("lost");
    world.store.delete_claim("claim-of-lost");
    eventually("kept", || world.files.records()["lost"]["state"] == "kept").await;
    assert_eq!(world.files.listing()["ns-lost/data"], "file: lost");

    world
        .store
        .class(class("returning", &json!({ "onDelete": "delete" })));
    eventually("the other one too", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(!world.files.listing().contains_key("ns-back"));
}

#[tokio::test(start_paused = true)]
async fn a_directory_around_that_of_another_volume_waits_for_its_end() {
    let world = World::new();
    world
        .store
        .class(class("deleting", &json!({ "onDelete": "delete" })));
    older_bound(&world, "outer", "tree", "deleting");
    older_bound(&world, "inner", "tree/inner", "deleting");
    let running = world.start();
    eventually("recorded", || world.files.records().len() == 2).await;
    world.store.delete_claim("claim-of-outer");
    eventually("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    assert!(
        events_with(&world, "VolumeFailedDelete")[0]
            .0
            .contains("of volume inner lies in")
    );
    assert_eq!(world.files.listing()["tree/inner/data"], "file: inner");
    assert_eq!(world.files.listing()["tree/data"], "file: outer");
    world.store.delete_claim("claim-of-inner");
    eventually("both gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(world.files.listing().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_volume_deleted_before_its_claim_is_settled_from_its_record() {
    let world = World::new();
    archiving(&world);
    older_bound(&world, "first", "ns-first", "archiving");
    let running = world.start();
    eventually("recorded", || world.files.records().len() == 1).await;
    world.store.force_delete_volume("first");
    world.store.delete_claim("claim-of-first");
    eventually("settled", || world.files.records().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing()["archived-ns-first/data"],
        "file: first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_directory_is_taken_over_as_missing_and_what_appears_there_is_kept() {
    let world = World::new();
    world
        .store
        .class(class("deleting", &json!({ "onDelete": "delete" })));
    older_bound(&world, "missing", "ns-missing", "deleting");
    older_bound(&world, "there", "ns-there", "deleting");
    world.files.remove("ns-missing");
    let running = world.start();
    eventually("recorded", || world.files.records().len() == 2).await;
    world.files.put("ns-missing/precious", "bytes");
    world.store.delete_claim("claim-of-missing");
    eventually("gone", || world.store.volumes().len() == 1).await;
    running.stop().await.unwrap();
    assert_eq!(world.files.listing()["ns-missing/precious"], "file: bytes");
}

/// As where the server's disk is not mounted, or the export of another deployment is: nothing is made,
/// and the right export is taken as soon as it is there, or an administrator says that this is the one.
#[rstest]
#[case::the_right_one_comes("lost+found/x", "ns-one/data")]
#[case::somebody_says_so("lost+found/x", ".claimcheck/us/said")]
#[case::it_was_that_of_others(".claimcheck/them/trash/x", "ns-one/data")]
#[tokio::test(start_paused = true)]
async fn an_export_with_none_of_the_directories_is_not_taken_for_theirs(
    #[case] there: &str,
    #[case] comes: &str,
) {
    let mut world = World::new();
    world.config.owner = Some("us".to_owned());
    archiving(&world);
    for name in ["one", "two"] {
        older_bound(&world, name, &format!("ns-{name}"), "archiving");
        world.files.remove(&format!("ns-{name}"));
    }
    world.files.put(there, "of another file system");
    let before = world.files.state();
    world.store.claim(claim("new", "new", "archiving"));
    let running = world.start();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(world.files.state(), before, "nothing was made");
    assert_eq!(world.store.bound_to("new"), None);
    world.files.put(comes, "bytes");
    eventually("served", || world.store.bound_to("new").is_some()).await;
    eventually("taken over", || world.files.is_taken_over()).await;
    running.stop().await.unwrap();
    assert!(world.files.records().contains_key("one"));
}

/// Volumes of another deployment lie on its own export and prove nothing about this one.
#[tokio::test(start_paused = true)]
async fn an_export_without_the_directories_of_other_deployments_is_used() {
    let mut world = World::new();
    world.config.owner = Some("us".to_owned());
    archiving(&world);
    older_bound(&world, "theirs", "ns-theirs", "archiving");
    world.files.remove("ns-theirs");
    world.store.edit_volume("theirs", |volume| {
        let annotations = volume.annotations_mut();
        annotations.insert("claimcheck.dev/owner".to_owned(), "them".to_owned());
        annotations.insert("claimcheck.dev/export-id".to_owned(), "theirs".to_owned());
    });
    world.store.claim(claim("new", "new", "archiving"));
    let running = world.start();
    eventually("served", || world.store.bound_to("new").is_some()).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_renamed_is_told_by_its_alias() {
    let mut world = World::new();
    world.config.target.server = "new".to_owned();
    archiving(&world);
    older_bound(&world, "renamed", "ns-renamed", "archiving");
    let running = world.start();
    eventually("started", || world.files.is_taken_over()).await;
    assert!(
        world.files.records().is_empty(),
        "another server's is not touched"
    );
    running.stop().await.unwrap();

    let mut world = World::new();
    world.config.target.server = "new".to_owned();
    world.config.target.aliases = vec!["server".to_owned()];
    archiving(&world);
    older_bound(&world, "renamed", "ns-renamed", "archiving");
    world.store.claim(claim("a", "1", "archiving"));
    let running = world.start();
    eventually("served", || world.store.bound_to("a").is_some()).await;
    let servers: Vec<Value> = world
        .store
        .volumes()
        .iter()
        .map(|volume| {
            json!([
                volume.name_any(),
                volume.spec.as_ref().unwrap().nfs.as_ref().unwrap().server
            ])
        })
        .collect();
    // New volumes have the new name, and the old one keeps its own.
    assert_eq!(
        servers,
        [json!(["pvc-1", "new"]), json!(["renamed", "server"])]
    );
    world.store.delete_claim("claim-of-renamed");
    eventually("archived", || {
        world
            .files
            .listing()
            .contains_key("archived-ns-renamed/data")
    })
    .await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_while_an_older_provisioner_renews_its_lock() {
    let mut world = World::new();
    world.config.leader_election = true;
    let renew = |second: u32| {
        let record = json!({
            "holderIdentity": "old", "leaseDurationSeconds": 15,
            "acquireTime": "2021-03-01T10:00:00Z", "renewTime": format!("2021-03-01T10:00:{second:02}Z"),
        });
        let endpoints = json!({
            "metadata": {
                "name": "westos.org-nfs", "namespace": "default",
                "annotations": { "control-plane.alpha.kubernetes.io/leader": record.to_string() },
            },
        });
        world.store.set_endpoints(Some(
            serde_json::from_value::<Endpoints>(endpoints).unwrap(),
        ));
    };
    archiving(&world);
    older(&world, "released", "ns-released", "archiving", "Released");
    renew(0);
    // The clock of the lock is the machine's, which no test can pause; the watches are enough here.
    let running = world.start_with(Steps::unlimited(), Arc::new(SoundRules));
    for second in 1..20 {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        renew(second);
        assert_eq!(world.store.lock_holder(), None);
        assert!(!world.files.is_taken_over());
    }
    world.store.set_endpoints(None);
    eventually("taken over", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(
        world.files.listing()["archived-ns-released/data"],
        "file: released"
    );
}

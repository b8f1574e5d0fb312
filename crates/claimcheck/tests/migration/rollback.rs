//! Back to the older provisioner: the finalizer comes off, and nothing of ours is in its way.

use kube::api::DeleteParams;
use serde_json::json;

use crate::bed::Bed;
use crate::objects::{NAMESPACE, Objects, finalizers};
use crate::older::Older;
use crate::process::Deployment;

const PROVISIONER: &str = "example.org/nfs";
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";
const RBAC: &str = include_str!("../../../../deploy/plain/rbac.yaml");
const ACCOUNT_NAMESPACE: &str = "nfs-provisioner";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rollback_the_older_provisioner_reclaims_what_ours_has_made() {
    let bed = Bed::up("rollback").await;
    bed.apply(
        include_str!("../../../../deploy/plain/namespace.yaml"),
        NAMESPACE,
    )
    .await;
    bed.apply(RBAC, NAMESPACE).await;
    let account = bed.account(ACCOUNT_NAMESPACE, "nfs-provisioner").await;
    let objects = Objects {
        client: bed.client.clone(),
        provisioner: PROVISIONER.to_owned(),
    };
    objects
        .class("deleting", "Delete", &json!({ "archiveOnDelete": "false" }))
        .await;
    let mounted = bed.path("export");
    fs_err::create_dir_all(&mounted).unwrap();
    let mut deployment = Deployment::new(
        &bed,
        "deployment",
        PROVISIONER,
        (ACCOUNT_NAMESPACE, &account),
        &mounted,
    );
    let running = deployment.start().await;
    objects.claim("ours", "deleting", &json!({}), None).await;
    objects.claim("other", "deleting", &json!({}), None).await;
    let volume = objects.bound("ours").await;
    let other = objects.bound("other").await;
    let name = volume.metadata.name.clone().unwrap();
    assert_eq!(finalizers(&volume), [FINALIZER]);
    let directory = mounted.join(format!("{NAMESPACE}-ours-{name}"));
    fs_err::write(directory.join("data"), "ours").unwrap();

    // Not while it runs: it would rely on it.
    let refused = deployment.command(&["finalizers", "--remove"]).await;
    assert_eq!(refused.code(), Some(1), "{}", refused.out());
    assert!(
        refused.err().contains("a provisioner holds the lock"),
        "{}",
        refused.err()
    );
    assert_eq!(
        finalizers(&objects.volumes().get(&name).await.unwrap()),
        [FINALIZER]
    );
    running.stop().await;

    // A volume on its way out keeps it: without it the object would go and its directory stay.
    objects.delete_claim("other").await;
    let other = other.metadata.name.unwrap();
    objects.phase(&other, "Released").await;
    objects
        .volumes()
        .delete(&other, &DeleteParams::default())
        .await
        .unwrap();
    let listed = deployment
        .command(&["finalizers", "--output=json"])
        .await
        .json();
    assert_eq!(listed["volumes"].as_array().unwrap().len(), 2, "{listed:#}");
    let removed = deployment.command(&["finalizers", "--remove"]).await;
    assert_eq!(
        removed.code(),
        Some(3),
        "{}{}",
        removed.out(),
        removed.err()
    );
    assert!(
        removed
            .out()
            .contains("let this provisioner finish that first"),
        "{}",
        removed.out()
    );
    assert_eq!(
        finalizers(&objects.volumes().get(&name).await.unwrap()),
        Vec::<&str>::new()
    );
    let running = deployment.start().await;
    objects.gone(&other).await;
    running.stop().await;
    deployment.set("ENABLE_LEADER_ELECTION", "false");
    let removed = deployment.command(&["finalizers", "--remove"]).await;
    assert_eq!(removed.code(), Some(0), "{}", removed.err());

    // The older one again.
    let older = Older {
        objects: objects.clone(),
        server: "nfs.example.org".to_owned(),
        path: "/export".to_owned(),
        mounted: mounted.clone(),
    };
    let again = older.provision("again", "deleting", &json!({})).await;
    objects.delete_claim("ours").await;
    objects.phase(&name, "Released").await;
    older
        .reclaim(&objects.volumes().get(&name).await.unwrap())
        .await;
    objects.gone(&name).await;
    assert!(!directory.exists());
    assert!(
        mounted.join(".claimcheck").is_dir(),
        "it lies there and does nothing"
    );
    let path = again.spec.unwrap().nfs.unwrap().path;
    assert!(
        mounted
            .join(path.strip_prefix("/export/").unwrap())
            .join("data")
            .exists()
    );
    bed.down().await;
}

//! What the provisioner does with the rights that people have: the shipped role, the role of
//! nfs-subdir's manifests, and the shipped one with a rule missing.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::bed::{Bed, until};
use crate::objects::{NAMESPACE, Objects, finalizers};
use crate::older::lock_record;
use crate::process::Deployment;

const SHIPPED: &str = include_str!("../../../../deploy/plain/rbac.yaml");
const SHIPPED_NAMESPACE: &str = include_str!("../../../../deploy/plain/namespace.yaml");
/// nfs-subdir's role, and below it what a current provisioner's lock takes.
const OLDER_AND_LEASES: &str = include_str!("../../../../fixtures/walkthrough/rbac.yaml");
const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// The role of nfs-subdir's manifests: no leases, no patch on volumes.
fn older_role() -> String {
    let (before, after) = OLDER_AND_LEASES.split_once("# Beyond the article").unwrap();
    let (_, rest) = after.split_once("---").unwrap();
    let role = format!("{before}---{rest}");
    assert!(!role.contains("leases"), "{role}");
    role
}

fn objects(bed: &Bed, provisioner: &str) -> Objects {
    Objects {
        client: bed.client.clone(),
        provisioner: provisioner.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_set_of_rights_does_what_the_table_says() {
    let bed = Bed::up("rights").await;
    bed.apply(SHIPPED_NAMESPACE, NAMESPACE).await;
    bed.apply(SHIPPED, NAMESPACE).await;
    bed.apply(&older_role(), NAMESPACE).await;
    shipped(&bed).await;
    older(&bed).await;
    one_missing(&bed).await;
    bed.down().await;
}

/// The shipped role is enough for everything, and nothing is missed.
async fn shipped(bed: &Bed) {
    let objects = objects(bed, "example.org/shipped");
    objects
        .class("shipped", "Delete", &json!({ "archiveOnDelete": "false" }))
        .await;
    let account = bed.account("nfs-provisioner", "nfs-provisioner").await;
    let mounted = bed.path("shipped-export");
    fs_err::create_dir_all(&mounted).unwrap();
    let access = ("nfs-provisioner", account.as_path());
    let deployment = Deployment::new(bed, "shipped", &objects.provisioner, access, &mounted);
    let running = deployment.start().await;
    objects.claim("shipped", "shipped", &json!({}), None).await;
    let volume = objects.bound("shipped").await;
    assert_eq!(finalizers(&volume), [FINALIZER]);
    let name = volume.metadata.name.unwrap();
    objects.told("shipped", "ProvisioningSucceeded").await;
    objects.delete_claim("shipped").await;
    objects.gone(&name).await;
    let log = running.log();
    assert!(!log.contains("a right is missing"), "{log}");
    assert!(!log.contains("orbidden"), "{log}");
    running.stop().await;
}

/// nfs-subdir's role is enough for the whole job: the lock is the older one's own, volumes get no
/// finalizer, and one deleted before its claim is settled from its record.
async fn older(bed: &Bed) {
    let objects = objects(bed, "example.org/older");
    objects
        .class("older", "Delete", &json!({ "archiveOnDelete": "true" }))
        .await;
    let account = bed.account(NAMESPACE, "nfs-client-provisioner").await;
    let mounted = bed.path("older-export");
    fs_err::create_dir_all(&mounted).unwrap();
    let access = (NAMESPACE, account.as_path());
    let deployment = Deployment::new(bed, "older", &objects.provisioner, access, &mounted);
    let check = deployment.command(&["check", "--output=json"]).await;
    assert_eq!(check.code(), Some(0), "{}{}", check.out(), check.err());
    let warned: Vec<Value> = check.json()["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["object"].clone())
        .collect();
    assert_eq!(
        warned.len(),
        4,
        "three of leases, one of volumes: {warned:?}"
    );

    let running = deployment.start().await;
    objects.claim("one", "older", &json!({}), None).await;
    objects.claim("two", "older", &json!({}), None).await;
    let one = objects.bound("one").await;
    let two = objects.bound("two").await;
    let record = lock_record(&bed.client, NAMESPACE, "example.org-older").await;
    let holder = record["holderIdentity"].as_str().unwrap().to_owned();
    assert!(
        running.log().contains(&holder),
        "{holder}: {}",
        running.log()
    );
    assert_eq!(record["leaseDurationSeconds"], 4);
    assert_eq!(finalizers(&one), Vec::<&str>::new());
    for text in [
        "the lock is kept on Endpoints, as the older provisioner does",
        "volumes get no finalizer",
    ] {
        assert!(running.log().contains(text), "{text}: {}", running.log());
    }

    // In order, and the volume object first.
    let directory = |claim: &str, volume: &str| format!("{NAMESPACE}-{claim}-{volume}");
    let (one, two) = (one.metadata.name.unwrap(), two.metadata.name.unwrap());
    for (claim, volume) in [("one", &one), ("two", &two)] {
        fs_err::write(mounted.join(directory(claim, volume)).join("data"), claim).unwrap();
    }
    objects.delete_claim("one").await;
    objects.gone(&one).await;
    let archived = |claim: &str, volume: &str| {
        let path = mounted.join(format!("archived-{}/data", directory(claim, volume)));
        fs_err::read_to_string(path).unwrap_or_default()
    };
    assert_eq!(archived("one", &one), "one");
    objects
        .volumes()
        .delete(&two, &DeleteParams::default())
        .await
        .unwrap();
    objects.delete_claim("two").await;
    objects.gone(&two).await;
    until(
        "the directory of a volume deleted first is archived",
        async || archived("two", &two) == "two",
    )
    .await;
    running.stop().await;
    let record = lock_record(&bed.client, NAMESPACE, "example.org-older").await;
    assert_eq!(record["holderIdentity"], "", "it was given back");
}

/// Rules by verb, group and resource that nothing works without.
const NEEDED: [(&str, &str, &str, &str); 11] = [
    (
        "get",
        "",
        "persistentvolumeclaims",
        "to read a claim again before acting on it",
    ),
    ("list", "", "persistentvolumeclaims", "to see claims"),
    ("watch", "", "persistentvolumeclaims", "to see claims"),
    ("get", "storage.k8s.io", "storageclasses", "to read classes"),
    (
        "list",
        "storage.k8s.io",
        "storageclasses",
        "to read classes",
    ),
    (
        "watch",
        "storage.k8s.io",
        "storageclasses",
        "to read classes",
    ),
    (
        "get",
        "",
        "persistentvolumes",
        "to read a volume again before acting on it",
    ),
    ("list", "", "persistentvolumes", "to see volumes"),
    ("watch", "", "persistentvolumes", "to see volumes"),
    ("create", "", "persistentvolumes", "to provision claims"),
    ("delete", "", "persistentvolumes", "to reclaim volumes"),
];

/// With any one of the needed rules missing the process ends and names it, and nothing else.
async fn one_missing(bed: &Bed) {
    for (at, (verb, group, resource, purpose)) in NEEDED.into_iter().enumerate() {
        let account = format!("without-{at}");
        bed.apply(&manifest(&account, Some((verb, resource)), true), NAMESPACE)
            .await;
        // The rule that comes last in the manifest, and one of the lock's.
        let subject = ("nfs-provisioner", account.as_str());
        bed.granted(subject, ("create", "", "events"), None).await;
        bed.granted(
            subject,
            ("update", "coordination.k8s.io", "leases"),
            Some("nfs-provisioner"),
        )
        .await;
        let group = if group.is_empty() { "core" } else { group };
        let expected = format!(
            "serve claims without these rights: {verb} {resource} ({group}) in the whole cluster, {purpose}"
        );
        ends_with(bed, &account, &expected).await;
    }
    // No lock at all.
    bed.apply(&manifest("without-lock", None, false), NAMESPACE)
        .await;
    bed.granted(
        ("nfs-provisioner", "without-lock"),
        ("create", "", "events"),
        None,
    )
    .await;
    ends_with(
        bed,
        "without-lock",
        "create leases (coordination.k8s.io) in the namespace of the lock, to take the lock",
    )
    .await;
}

async fn ends_with(bed: &Bed, account: &str, expected: &str) {
    let kubeconfig = bed.account("nfs-provisioner", account).await;
    let mounted = bed.path("unused-export");
    fs_err::create_dir_all(&mounted).unwrap();
    let access = ("nfs-provisioner", kubeconfig.as_path());
    let deployment = Deployment::new(bed, account, "example.org/unused", access, &mounted);
    let running = deployment.start().await;
    assert_eq!(running.ended().await, Some(1), "{}", running.log());
    assert!(
        running.log().contains(expected),
        "{expected}: {}",
        running.log()
    );
    assert_eq!(mounted.read_dir_utf8().unwrap().count(), 0);
}

/// An account with the shipped rules but for one, with or without the lock's.
fn manifest(account: &str, without: Option<(&str, &str)>, lock: bool) -> String {
    let verbs = |resource: &str, verbs: &[&str]| -> Vec<String> {
        verbs
            .iter()
            .filter(|verb| without != Some((**verb, resource)))
            .map(|verb| (*verb).to_owned())
            .collect()
    };
    let rule = |group: &str, resource: &str, of: &[&str]| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs(resource, of) });
    let named = json!({ "name": account });
    let subjects =
        json!([{ "kind": "ServiceAccount", "name": account, "namespace": "nfs-provisioner" }]);
    let in_namespace = json!({ "name": account, "namespace": "nfs-provisioner" });
    let mut objects = vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": in_namespace }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": named,
            "rules": [
                rule("", "persistentvolumes", &["get", "list", "watch", "create", "delete", "patch"]),
                rule("", "persistentvolumeclaims", &["get", "list", "watch"]),
                rule("storage.k8s.io", "storageclasses", &["get", "list", "watch"]),
                rule("", "events", &["create", "patch"]),
            ],
        }),
    ];
    if lock {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": in_namespace,
            "subjects": subjects,
            "roleRef": { "kind": "Role", "name": "nfs-provisioner", "apiGroup": "rbac.authorization.k8s.io" },
        }));
    }
    objects.push(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": named,
        "subjects": subjects,
        "roleRef": { "kind": "ClusterRole", "name": account, "apiGroup": "rbac.authorization.k8s.io" },
    }));
    let documents: Vec<String> = objects.iter().map(ToString::to_string).collect();
    documents.join("\n---\n")
}

//! The migration guide, carried out on volumes that were laid out by nfs-subdir's rules.

use std::collections::BTreeMap;

use camino::Utf8Path;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::objects::{NAMESPACE, Objects, finalizers};
use crate::older::Older;
use crate::process::Deployment;

const PROVISIONER: &str = "k8s-sigs.io/nfs-subdir-external-provisioner";
const ACCOUNT: &str = "nfs-client-provisioner";
/// The role of nfs-subdir's manifests with leases.
const RBAC: &str = include_str!("../../../../fixtures/walkthrough/rbac.yaml");

/// Volumes of an older provisioner, by claim.
struct Legacy {
    bed: Bed,
    objects: Objects,
    older: Older,
    volumes: BTreeMap<&'static str, PersistentVolume>,
}

impl Legacy {
    fn exists(&self, path: &str) -> bool {
        self.older.mounted.join(path).symlink_metadata().is_ok()
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.older.mounted.join(path)).unwrap()
    }

    fn volume(&self, claim: &str) -> String {
        self.volumes[claim].name_any()
    }

    /// The default name of a claim's directory.
    fn directory(&self, claim: &str) -> String {
        format!("{NAMESPACE}-{claim}-{}", self.volume(claim))
    }

    /// What lies on the export and belongs to nobody.
    fn bystanders(&self) -> BTreeMap<String, String> {
        [
            "archived-older/data",
            "default/by/hand",
            "unrelated/deep/file",
            "others/theirs",
        ]
        .into_iter()
        .map(|path| (path.to_owned(), self.read(path)))
        .collect()
    }
}

async fn lay_out(name: &str) -> Legacy {
    let bed = Bed::up(name).await;
    bed.apply(RBAC, NAMESPACE).await;
    let objects = Objects {
        client: bed.client.clone(),
        provisioner: PROVISIONER.to_owned(),
    };
    let mounted = bed.path("export");
    for (path, text) in [
        ("archived-older/data", "an archive of long ago"),
        ("default/by/hand", "somebody's own"),
        ("unrelated/deep/file", "nobody's"),
        ("others/theirs", "another provisioner's"),
    ] {
        let path = mounted.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    for (class, policy, parameters) in [
        ("archiving", "Delete", json!({ "archiveOnDelete": "true" })),
        ("deleting", "Delete", json!({ "archiveOnDelete": "false" })),
        ("keeping", "Retain", json!({ "archiveOnDelete": "false" })),
        ("retaining", "Delete", json!({ "onDelete": "retain" })),
        ("vanishing", "Delete", json!({ "onDelete": "delete" })),
        ("returning", "Delete", json!({ "onDelete": "delete" })),
        (
            "patterned",
            "Delete",
            json!({ "pathPattern": "${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}", "onDelete": "delete" }),
        ),
        (
            "refused",
            "Delete",
            json!({ "onDelete": "Delete", "archiveOnDelete": "false" }),
        ),
    ] {
        objects.class(class, policy, &parameters).await;
    }
    let mut older = Older {
        objects: objects.clone(),
        server: "nfs.example.org".to_owned(),
        path: "/export".to_owned(),
        mounted,
    };
    let path = |text: &str| json!({ "nfs.io/storage-path": text });
    let mut volumes = BTreeMap::new();
    for (claim, class, annotations) in [
        ("archived", "archiving", json!({})),
        ("deleted", "deleting", json!({})),
        ("kept", "keeping", json!({})),
        ("retained", "retaining", json!({})),
        ("said", "vanishing", json!({})),
        ("back", "returning", json!({})),
        ("db", "patterned", path("db")),
        ("first", "patterned", path("shared")),
        ("second", "patterned", path("shared")),
        ("outer", "patterned", path("tree")),
        ("inner", "patterned", path("tree/inner")),
        ("doubtful", "refused", json!({})),
    ] {
        volumes.insert(claim, older.provision(claim, class, &annotations).await);
    }
    // The server had another name once.
    "10.9.8.7".clone_into(&mut older.server);
    volumes.insert(
        "renamed",
        older.provision("renamed", "deleting", &json!({})).await,
    );
    "nfs.example.org".clone_into(&mut older.server);
    for class in ["vanishing", "returning"] {
        let parameters = DeleteParams::default();
        objects.classes().delete(class, &parameters).await.unwrap();
    }
    // A volume of somebody else on the same export.
    let theirs = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": "theirs" },
        "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": { "storage": "1Mi" },
            "nfs": { "server": "nfs.example.org", "path": "/export/others" },
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "none",
        },
    });
    let theirs = serde_json::from_value(theirs).unwrap();
    objects
        .volumes()
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    Legacy {
        bed,
        objects,
        older,
        volumes,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_of_the_older_provisioner_are_taken_over_and_end_as_their_classes_say() {
    let legacy = lay_out("takeover").await;
    let account = legacy.bed.account(NAMESPACE, ACCOUNT).await;
    let mut deployment = Deployment::new(
        &legacy.bed,
        "deployment",
        PROVISIONER,
        (NAMESPACE, &account),
        &legacy.older.mounted,
    );
    deployment.set("CLAIMCHECK_SERVER_ALIAS", "10.9.8.7");
    let bystanders = legacy.bystanders();
    let before = legacy.objects.volumes().get("theirs").await.unwrap();

    check(&legacy, &deployment).await;
    let running = switch(&legacy, &deployment).await;
    // Nothing is written on the objects that were there.
    for (claim, volume) in &legacy.volumes {
        let now = legacy
            .objects
            .volumes()
            .get(&volume.name_any())
            .await
            .unwrap();
        assert_eq!(now.annotations(), volume.annotations(), "{claim}");
        assert_eq!(finalizers(&now), Vec::<&str>::new(), "{claim}");
    }

    by_class(&legacy).await;
    shared_and_nested(&legacy).await;
    class_gone(&legacy).await;
    later(&legacy, &deployment).await;
    // A restart changes nothing: what was left alone stays so.
    running.stop().await;
    let running = deployment.start().await;
    running.says(" ready export_id=").await;
    objects_are_served(&legacy).await;
    assert!(
        !running.log().contains("first start on this export"),
        "{}",
        running.log()
    );
    running.stop().await;

    orphans(&legacy, &deployment).await;
    assert_eq!(legacy.bystanders(), bystanders);
    let after = legacy.objects.volumes().get("theirs").await.unwrap();
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
    legacy.bed.down().await;
}

/// A claim made today is served.
async fn objects_are_served(legacy: &Legacy) {
    legacy
        .objects
        .claim("new", "deleting", &json!({}), None)
        .await;
    let volume = legacy.objects.bound("new").await;
    let name = volume.name_any();
    assert_eq!(volume.spec.unwrap().nfs.unwrap().server, "nfs.example.org");
    legacy.objects.delete_claim("new").await;
    legacy.objects.gone(&name).await;
}

/// Step 2 of the guide: nothing is changed, and it says what is there.
async fn check(legacy: &Legacy, deployment: &Deployment) {
    let answer = deployment.command(&["check", "--output", "json"]).await;
    let report = answer.json();
    // One class has a value that would be refused for new claims.
    assert_eq!(answer.code(), Some(3), "{report:#}\n{}", answer.err());
    assert_eq!(report["safe"], false);
    assert_eq!(
        report["volumes"],
        json!({ "adopted": 13, "recorded": 0, "left": 0 }),
        "{report:#}"
    );
    let kinds = |level: &str| -> Vec<String> {
        let findings = report["findings"].as_array().unwrap();
        let mut kinds: Vec<String> = findings
            .iter()
            .filter(|finding| finding["level"] == level)
            .map(|finding| finding["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds("problem"), ["class-refused"]);
    assert_eq!(
        kinds("warning"),
        [
            "class-gone",
            "directory-overlap",
            "directory-shared",
            "rule-missing"
        ],
        "{report:#}"
    );
    assert!(!legacy.exists(".claimcheck"), "it only looks");
    let table = deployment
        .command(&["check", "--unknown-parameters=warn"])
        .await;
    assert!(
        table.out().contains("not safe to switch: 1 problem and"),
        "{}",
        table.out()
    );
}

/// Step 3: the old lock is respected until its holder is silent, then everything is taken over.
async fn switch(legacy: &Legacy, deployment: &Deployment) -> crate::process::Running {
    legacy.older.renew("old-pod_1", 4).await;
    let running = deployment.start().await;
    running.says("waiting for the lock").await;
    // As long as the older one renews, once a second for twice the time its lock lasts, nothing is
    // touched.
    for _ in 0..8 {
        legacy.older.renew("old-pod_1", 4).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert!(!legacy.exists(".claimcheck"), "{}", running.log());
    }
    running.says("first start on this export").await;
    assert!(
        running.log().contains("taken=13 left=0"),
        "{}",
        running.log()
    );
    running
}

/// Each directory ends as its class, and the volume's reclaim policy, say.
async fn by_class(legacy: &Legacy) {
    for claim in [
        "archived", "deleted", "kept", "retained", "db", "doubtful", "renamed",
    ] {
        legacy.objects.delete_claim(claim).await;
    }
    for claim in [
        "archived", "deleted", "retained", "db", "doubtful", "renamed",
    ] {
        legacy.objects.gone(&legacy.volume(claim)).await;
    }
    legacy
        .objects
        .phase(&legacy.volume("kept"), "Released")
        .await;
    for claim in ["archived", "doubtful"] {
        let directory = legacy.directory(claim);
        assert!(!legacy.exists(&directory), "{claim}");
        assert_eq!(legacy.read(&format!("archived-{directory}/data")), claim);
    }
    for claim in ["deleted", "renamed"] {
        assert!(!legacy.exists(&legacy.directory(claim)), "{claim}");
        assert!(
            !legacy.exists(&format!("archived-{}", legacy.directory(claim))),
            "{claim}"
        );
    }
    for claim in ["kept", "retained"] {
        assert_eq!(
            legacy.read(&format!("{}/data", legacy.directory(claim))),
            claim
        );
    }
    assert!(!legacy.exists("default/db"));
}

/// A directory of two volumes stays until the last is gone, and one around another's waits.
async fn shared_and_nested(legacy: &Legacy) {
    legacy.objects.delete_claim("first").await;
    legacy.objects.gone(&legacy.volume("first")).await;
    assert_eq!(legacy.read("default/shared/data"), "second");
    legacy.objects.delete_claim("second").await;
    legacy.objects.gone(&legacy.volume("second")).await;
    assert!(!legacy.exists("default/shared"));

    let outer = legacy.volume("outer");
    legacy.objects.delete_claim("outer").await;
    let told = legacy.objects.told(&outer, "VolumeFailedDelete").await;
    assert!(
        told[0].contains("lies in the directory default/tree of this one"),
        "{told:?}"
    );
    assert_eq!(legacy.read("default/tree/data"), "outer");
    assert_eq!(legacy.read("default/tree/inner/data"), "inner");
    legacy.objects.delete_claim("inner").await;
    legacy.objects.gone(&legacy.volume("inner")).await;
    assert!(!legacy.exists("default/tree/inner"));
    legacy.objects.gone(&outer).await;
    assert!(!legacy.exists("default/tree"));
}

/// Without its class a volume waits for a word: of an administrator, or of the class come back.
async fn class_gone(legacy: &Legacy) {
    for claim in ["said", "back"] {
        legacy.objects.delete_claim(claim).await;
        let told = legacy
            .objects
            .told(&legacy.volume(claim), "VolumeFailedDelete")
            .await;
        assert!(told[0].contains("create the class again"), "{told:?}");
        assert_eq!(
            legacy.read(&format!("{}/data", legacy.directory(claim))),
            claim
        );
    }
    let said = legacy.volume("said");
    legacy
        .objects
        .annotate(&said, "claimcheck.dev/on-delete", "archive")
        .await;
    legacy.objects.gone(&said).await;
    assert_eq!(
        legacy.read(&format!("archived-{}/data", legacy.directory("said"))),
        "said"
    );

    legacy
        .objects
        .class("returning", "Delete", &json!({ "onDelete": "delete" }))
        .await;
    legacy.objects.gone(&legacy.volume("back")).await;
    assert!(!legacy.exists(&legacy.directory("back")));
}

/// A volume that appears later is left alone until somebody hands it over.
async fn later(legacy: &Legacy, deployment: &Deployment) {
    let name = "restored";
    let claim = legacy
        .objects
        .claim("late", "deleting", &json!({}), Some(name))
        .await;
    legacy.older.volume(&claim, name).await;
    legacy.objects.bound("late").await;
    let directory = format!("{NAMESPACE}-late-{name}");
    legacy.objects.delete_claim("late").await;
    let told = legacy.objects.told(name, "DirectoryKept").await;
    assert!(told[0].contains("has no record of this volume"), "{told:?}");
    assert_eq!(legacy.read(&format!("{directory}/data")), "late");

    let nothing = deployment.command(&["adopt", "missing", "theirs"]).await;
    assert_eq!(nothing.code(), Some(3), "{}", nothing.err());
    assert!(
        nothing.out().contains("there is no such volume"),
        "{}",
        nothing.out()
    );
    let dry = deployment
        .command(&["adopt", name, "--dry-run", "--output=json"])
        .await;
    assert_eq!(dry.json()["volumes"][0]["outcome"], "would-be-handed-over");
    // The role of the older manifests may not patch volumes; the person who hands one over may.
    let refused = deployment.command(&["adopt", name]).await;
    assert_eq!(refused.code(), Some(3));
    assert!(
        refused.out().contains("cannot patch resource"),
        "{}",
        refused.out()
    );
    let admin = legacy.bed.admin().to_string();
    let handed = deployment
        .command(&["adopt", name, "--kubeconfig", &admin])
        .await;
    assert_eq!(handed.code(), Some(0), "{}{}", handed.out(), handed.err());
    legacy.objects.gone(name).await;
    assert!(!legacy.exists(&directory));
}

/// What is left is listed by what it is, and only trash is ever removed.
async fn orphans(legacy: &Legacy, deployment: &Deployment) {
    let owner = owner(&legacy.older.mounted);
    let trash = legacy
        .older
        .mounted
        .join(format!(".claimcheck/{owner}/trash/pvc-lost"));
    fs_err::create_dir_all(trash.join("deep")).unwrap();
    fs_err::write(trash.join("deep/file"), "rubbish").unwrap();
    let listed = deployment
        .command(&["orphans", "--output=json"])
        .await
        .json();
    let kind = |path: &str| -> Value {
        let entries = listed["entries"].as_array().unwrap();
        let found = entries.iter().find(|entry| entry["path"] == path);
        found.map_or(Value::Null, |entry| entry["kind"].clone())
    };
    assert_eq!(kind("archived-older"), "archive");
    assert_eq!(
        kind(&format!("archived-{}", legacy.directory("archived"))),
        "archive"
    );
    assert_eq!(kind(&legacy.directory("retained")), "kept");
    assert_eq!(kind("unrelated"), "unknown");
    assert_eq!(kind("others"), Value::Null, "a volume lies there");
    assert_eq!(
        kind(&format!(".claimcheck/{owner}/trash/pvc-lost")),
        "trash"
    );
    assert!(trash.exists());

    let removed = deployment.command(&["orphans", "--remove"]).await;
    assert_eq!(removed.code(), Some(0), "{}", removed.err());
    assert!(!trash.exists());
    assert!(legacy.exists("archived-older/data"));
}

/// The id of the one deployment on an export.
fn owner(mounted: &Utf8Path) -> String {
    mounted
        .join(".claimcheck")
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .find(|name| name != "export-id")
        .unwrap()
}

//! The example overlay: what a user copies has to work.

use serde_json::{Value, json};

use super::helm::{Helm, deploy};
use super::objects::{Objects, at, text};

#[test]
fn the_example_overlay_changes_what_it_says_and_keeps_the_rest() {
    let directory = deploy("kustomize/overlays/example");
    let rendered = Helm::alone().kubectl(&format!("kustomize {}", directory.display()));
    let objects = Objects::parse(&rendered);
    assert_eq!(objects.problems("storage"), Vec::<String>::new());

    let deployment = objects.deployment();
    let container = "spec/template/spec/containers/nfs-provisioner";
    for (path, wanted) in [
        ("spec/replicas".to_owned(), json!(2)),
        (
            "spec/strategy".to_owned(),
            json!({ "type": "RollingUpdate" }),
        ),
        (
            format!("{container}/image"),
            json!("registry.example.org/nfs-provisioner:0.1.0"),
        ),
        (
            format!("{container}/env/PROVISIONER_NAME/value"),
            json!("storage.example.org/nfs"),
        ),
        (
            format!("{container}/env/NFS_SERVER/value"),
            json!("filer.example.org"),
        ),
        (
            format!("{container}/env/NFS_PATH/value"),
            json!("/srv/claims"),
        ),
        (
            format!("{container}/env/CLAIMCHECK_BACKEND/value"),
            json!("mount"),
        ),
        (
            format!("{container}/volumeMounts/export/mountPath"),
            json!("/persistentvolumes"),
        ),
        (
            "spec/template/spec/volumes/export/nfs".to_owned(),
            json!({ "server": "filer.example.org", "path": "/srv/claims" }),
        ),
        (
            "spec/template/spec/securityContext".to_owned(),
            json!({
                "runAsUser": 0,
                "runAsGroup": 0,
                "seccompProfile": { "type": "RuntimeDefault" },
            }),
        ),
    ] {
        assert_eq!(at(deployment, &path), Some(&wanted), "{path}");
    }
    // What it does not name is the base's.
    assert_eq!(
        at(
            deployment,
            &format!("{container}/readinessProbe/httpGet/path")
        ),
        Some(&json!("/readyz"))
    );
    let class = objects.get("StorageClass/nfs-client").unwrap();
    assert_eq!(text(class, "provisioner"), "storage.example.org/nfs");
    assert_eq!(class["parameters"], json!({ "archiveOnDelete": "false" }));
    let namespace = objects.get("Namespace/storage").unwrap();
    let enforced = at(
        namespace,
        "metadata/labels/pod-security.kubernetes.io~1enforce",
    );
    assert_eq!(enforced.and_then(Value::as_str), Some("baseline"));
}

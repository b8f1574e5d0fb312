use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::config::{ExportPath, ProvisionerName};

fn target() -> Target {
    Target {
        provisioner: ProvisionerName::new("westos.org/nfs").unwrap(),
        server: "server".to_owned(),
        aliases: vec!["10.0.0.1".to_owned()],
        export: ExportPath::new("/export").unwrap(),
    }
}

/// A volume as nfs-subdir makes it, with a patch.
fn volume(patch: &Value) -> PersistentVolume {
    let mut volume = json!({
        "metadata": {
            "name": "pvc-1", "uid": "v",
            "annotations": { "pv.kubernetes.io/provisioned-by": "westos.org/nfs" },
        },
        "spec": {
            "nfs": { "server": "server", "path": "/export/ns-a-pvc-1" },
            "claimRef": { "namespace": "ns", "name": "a", "uid": "1" },
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "c",
        },
    });
    merge(&mut volume, patch);
    serde_json::from_value(volume).unwrap()
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn class(parameters: &Value) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": { "name": "c" }, "provisioner": "westos.org/nfs", "parameters": parameters,
    }))
    .unwrap()
}

#[rstest]
#[case(json!({}), OnDelete::Archive)]
#[case(json!({ "archiveOnDelete": "true" }), OnDelete::Archive)]
#[case(json!({ "archiveOnDelete": "false" }), OnDelete::Delete)]
#[case(json!({ "onDelete": "delete" }), OnDelete::Delete)]
#[case(json!({ "onDelete": "retain", "archiveOnDelete": "false" }), OnDelete::Retain)]
#[case(json!({ "onDelete": "" }), OnDelete::Archive)]
#[case(json!({ "onDelete": "", "archiveOnDelete": "0" }), OnDelete::Delete)]
// What would be refused loses nothing.
#[case(json!({ "onDelete": "Delete", "archiveOnDelete": "false" }), OnDelete::Archive)]
#[case(json!({ "onDelete": "archive", "archiveOnDelete": "false" }), OnDelete::Archive)]
#[case(json!({ "archiveOnDelete": "no" }), OnDelete::Archive)]
#[case(json!({ "onDelete": "delete", "archiveOnDelete": "no" }), OnDelete::Archive)]
#[case(json!({ "unknown": "x", "archiveOnDelete": "false" }), OnDelete::Delete)]
fn a_volume_is_taken_over_with_what_its_class_says_now(
    #[case] parameters: Value,
    #[case] expected: OnDelete,
) {
    let adoption = assess(&target(), &volume(&json!({})), Some(&class(&parameters))).unwrap();
    assert_eq!(adoption.policy, Policy::Known(expected));
    assert_eq!(adoption.directory.to_string(), "ns-a-pvc-1");
    assert_eq!(
        (
            adoption.claim.namespace.as_str(),
            adoption.claim.uid.as_str()
        ),
        ("ns", "1")
    );
    assert_eq!(adoption.reclaim_policy.as_deref(), Some("Delete"));
}

#[test]
fn an_administrators_word_outweighs_the_class() {
    let said =
        volume(&json!({ "metadata": { "annotations": { "claimcheck.dev/on-delete": "retain" } } }));
    let deleting = class(&json!({ "onDelete": "delete" }));
    let adoption = assess(&target(), &said, Some(&deleting)).unwrap();
    assert_eq!(adoption.policy, Policy::Known(OnDelete::Retain));
    let adoption = assess(&target(), &said, None).unwrap();
    assert_eq!(adoption.policy, Policy::Known(OnDelete::Retain));
}

#[test]
fn without_its_class_or_with_another_provisioners_a_volume_waits() {
    let mut others = class(&json!({ "onDelete": "delete" }));
    others.provisioner = "example.org/other".to_owned();
    for class in [None, Some(&others)] {
        let adoption = assess(&target(), &volume(&json!({})), class).unwrap();
        assert_eq!(adoption.policy, Policy::AwaitsClass("c".to_owned()));
    }
}

#[rstest]
#[case(json!({ "metadata": { "annotations": { "pv.kubernetes.io/provisioned-by": "x/y" } } }), "made by x/y")]
#[case(json!({ "metadata": { "annotations": null } }), "made by nobody")]
#[case(json!({ "spec": { "nfs": { "server": "other" } } }), "--server-alias")]
#[case(json!({ "spec": { "nfs": null } }), "server \"\"")]
#[case(json!({ "spec": { "nfs": { "path": "/exporter/a" } } }), "not below")]
#[case(json!({ "spec": { "nfs": { "path": "/export/../etc" } } }), "not below")]
#[case(json!({ "spec": { "nfs": { "path": "/export" } } }), "the export itself")]
#[case(json!({ "spec": { "nfs": { "path": "/export//" } } }), "the export itself")]
#[case(json!({ "spec": { "nfs": { "path": "/export/.claimcheck/x" } } }), "reserved")]
#[case(json!({ "spec": { "claimRef": null } }), "no claim")]
#[case(json!({ "spec": { "claimRef": { "uid": null } } }), "no claim")]
fn what_cannot_be_proved_to_be_a_volume_of_ours_is_not_taken_over(
    #[case] patch: Value,
    #[case] said: &str,
) {
    let error = assess(&target(), &volume(&patch), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains(said), "{error}");
}

#[rstest]
#[case("/export/a/", "a")]
#[case("//export//a/b", "a/b")]
fn an_older_spelling_of_server_and_path_is_understood(#[case] path: &str, #[case] directory: &str) {
    let older = volume(&json!({ "spec": { "nfs": { "server": "10.0.0.1", "path": path } } }));
    let adoption = assess(&target(), &older, None).unwrap();
    assert_eq!(adoption.directory.to_string(), directory);
}

#[rstest]
#[case(json!("true"), true)]
#[case(json!("True"), false)]
#[case(json!(""), false)]
#[case(json!(null), false)]
fn only_a_plain_true_hands_a_volume_over(#[case] value: Value, #[case] asked: bool) {
    let mut volume = volume(&json!({}));
    if let Some(text) = value.as_str() {
        let annotations = volume.annotations_mut();
        annotations.insert("claimcheck.dev/adopt".to_owned(), text.to_owned());
    }
    assert_eq!(is_asked(&volume), asked);
}

#[test]
fn a_volume_of_another_deployment_says_so() {
    let theirs = volume(&json!({ "metadata": { "annotations": { "claimcheck.dev/owner": "b" } } }));
    assert!(
        other_deployment("a", "e", &theirs)
            .unwrap()
            .contains("claimcheck.dev/owner is b")
    );
    assert_eq!(other_deployment("b", "e", &theirs), None);
    assert_eq!(other_deployment("a", "e", &volume(&json!({}))), None);
}

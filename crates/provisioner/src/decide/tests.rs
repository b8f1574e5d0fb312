//! Tables for every pure decision; beyond 500 lines because they share their fixtures.

use k8s_openapi::api::core::v1::PersistentVolume;
use rstest::rstest;
use serde_json::{Value, json};

use super::reclaim::{self, Disposal};
use super::volume::{self, Scope, VolumeRequest};
use super::*;
use crate::class::{OnDelete, SharedDirectory};
use crate::config::{ExportPath, ProvisionerName};
use crate::records::{ClaimId, DirectoryIdentity, FORMAT, Origin, Record, State, Terms};

fn target() -> Target {
    Target {
        provisioner: ProvisionerName::new("westos.org/nfs").unwrap(),
        server: "server".to_owned(),
        aliases: Vec::new(),
        export: ExportPath::new("/export").unwrap(),
    }
}

fn scope() -> Scope {
    Scope {
        target: target(),
        owner: "owner".to_owned(),
        export_id: "export".to_owned(),
        root: 1,
        finalizer: false,
        transitions: 0,
    }
}

/// Merges `patch` into `base`, as a JSON merge patch does.
fn merge(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, patch) => *base = patch,
    }
}

fn claim(patch: Value) -> PersistentVolumeClaim {
    let mut value = json!({
        "metadata": {
            "namespace": "ns", "name": "claim", "uid": "1", "resourceVersion": "7",
            "annotations": { STORAGE_PROVISIONER: "westos.org/nfs" },
        },
        "spec": {
            "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
            "resources": { "requests": { "storage": "100Mi" } },
            "storageClassName": "class",
        },
    });
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn class(patch: Value) -> StorageClass {
    let mut value = json!({ "metadata": { "name": "class" }, "provisioner": "westos.org/nfs" });
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn parameters(pairs: &Value) -> ClassParameters {
    class_parameters(
        &class(json!({ "parameters": pairs })),
        UnknownParameters::Refuse,
    )
    .unwrap()
}

#[rstest]
#[case(json!({ STORAGE_PROVISIONER: "westos.org/nfs" }), true)]
#[case(json!({ STORAGE_PROVISIONER: null, STORAGE_PROVISIONER_BETA: "westos.org/nfs" }), true)]
#[case(json!({ STORAGE_PROVISIONER: "other.org/nfs" }), false)]
#[case(json!({ STORAGE_PROVISIONER: "other.org/nfs", STORAGE_PROVISIONER_BETA: "westos.org/nfs" }), false)]
#[case(json!({ STORAGE_PROVISIONER: null }), false)]
#[case(json!({ STORAGE_PROVISIONER: "" }), false)]
fn a_claim_is_ours_by_either_annotation_stable_first(
    #[case] annotations: Value,
    #[case] ours: bool,
) {
    let claim = claim(json!({ "metadata": { "annotations": annotations } }));
    assert_eq!(is_our_claim(&target(), &claim, None), ours);
    assert_eq!(
        is_our_claim(&target(), &claim, Some(&class(json!({})))),
        ours
    );
    assert!(!is_our_claim(
        &target(),
        &claim,
        Some(&class(json!({ "provisioner": "other.org/nfs" })))
    ));
}

#[rstest]
#[case::at_once(None, json!({}), true)]
#[case::immediate(None, json!({ "volumeBindingMode": "Immediate" }), true)]
#[case::for_a_pod(None, json!({ "volumeBindingMode": WAIT_FOR_FIRST_CONSUMER }), false)]
#[case::of_an_unknown_mode(None, json!({ "volumeBindingMode": "Later" }), false)]
#[case::for_another(None, json!({ "provisioner": "other.org/nfs" }), false)]
#[case::another_is_asked(Some((STORAGE_PROVISIONER, "other.org/nfs")), json!({}), false)]
#[case::asked_in_beta(Some((STORAGE_PROVISIONER_BETA, "westos.org/nfs")), json!({}), false)]
fn who_will_be_asked_is_known_where_only_the_class_says_so(
    #[case] asked: Option<(&str, &str)>,
    #[case] class_patch: Value,
    #[case] known: bool,
) {
    let mut claim =
        claim(json!({ "metadata": { "annotations": { STORAGE_PROVISIONER: null, "a": "b" } } }));
    if let Some((key, name)) = asked {
        claim
            .annotations_mut()
            .insert(key.to_owned(), name.to_owned());
    }
    let class = class(class_patch);
    let expected = ahead::expected(&target(), &claim, &class);
    assert_eq!(expected.is_some(), known);
    if let Some(mut expected) = expected {
        assert!(is_our_claim(&target(), &expected, Some(&class)));
        expected.annotations_mut().remove(STORAGE_PROVISIONER);
        assert_eq!(expected, claim, "nothing else is changed");
    }
}

#[rstest]
#[case(json!({}), json!({}))]
#[case(json!({ "spec": { "volumeMode": "Filesystem" } }), json!({ "volumeBindingMode": "Immediate" }))]
#[case(json!({ "metadata": { "annotations": { SELECTED_NODE: "node-0" } } }), json!({ "volumeBindingMode": WAIT_FOR_FIRST_CONSUMER }))]
#[case(json!({ "metadata": { "annotations": { STORAGE_CLASS_BETA: "class" } }, "spec": { "storageClassName": null } }), json!({}))]
#[case(json!({ "spec": { "volumeName": "", "volumeAttributesClassName": "" } }), json!({}))]
fn a_plain_claim_is_provisioned(#[case] claim_patch: Value, #[case] class_patch: Value) {
    assert_eq!(
        claim_decision(&claim(claim_patch), Some(&class(class_patch))),
        ClaimDecision::Provision
    );
}

#[rstest]
#[case(json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }))]
#[case(json!({ "spec": { "volumeName": "pv" } }))]
#[case(json!({ "spec": { "storageClassName": "" } }))]
#[case(json!({ "spec": { "storageClassName": null } }))]
#[case(json!({ "metadata": { "annotations": { STORAGE_CLASS_BETA: "" } } }))]
fn a_claim_that_needs_nothing_is_ignored(#[case] patch: Value) {
    assert!(matches!(
        claim_decision(&claim(patch), Some(&class(json!({})))),
        ClaimDecision::Ignore(_)
    ));
}

#[test]
fn a_claim_waits_for_its_class_and_its_node() {
    assert!(matches!(
        claim_decision(&claim(json!({})), None),
        ClaimDecision::Wait(_)
    ));
    let waiting = class(json!({ "volumeBindingMode": WAIT_FOR_FIRST_CONSUMER }));
    assert!(matches!(
        claim_decision(&claim(json!({})), Some(&waiting)),
        ClaimDecision::Wait(_)
    ));
    let empty = claim(json!({ "metadata": { "annotations": { SELECTED_NODE: "" } } }));
    assert!(matches!(
        claim_decision(&empty, Some(&waiting)),
        ClaimDecision::Wait(_)
    ));
    // What cannot be served says so only once somebody wants it.
    let block = claim(json!({ "spec": { "volumeMode": BLOCK } }));
    assert!(matches!(
        claim_decision(&block, Some(&waiting)),
        ClaimDecision::Wait(_)
    ));
}

#[rstest]
#[case(json!({ "volumeMode": BLOCK }), "block")]
#[case(json!({ "selector": { "matchLabels": { "a": "b" } } }), "spec.selector")]
#[case(json!({ "selector": {} }), "spec.selector")]
#[case(json!({ "dataSource": { "kind": "PersistentVolumeClaim", "name": "x" } }), "PersistentVolumeClaim x")]
#[case(json!({ "dataSourceRef": { "kind": "PersistentVolumeClaim", "name": "x" } }), "PersistentVolumeClaim x")]
#[case(json!({ "dataSourceRef": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "x" } }), "VolumeSnapshot x")]
#[case(json!({ "dataSource": { "apiGroup": "other.io", "kind": "Thing", "name": "x" } }), "Thing x")]
#[case(json!({ "volumeAttributesClassName": "gold" }), "gold")]
fn what_cannot_be_served_is_refused_with_its_name(#[case] spec: Value, #[case] named: &str) {
    match claim_decision(&claim(json!({ "spec": spec })), Some(&class(json!({})))) {
        ClaimDecision::Refuse(refusal) => {
            assert!(refusal.to_string().contains(named), "{refusal}");
            assert!(refusal.is_lasting());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_data_sources_belong_to_their_populator() {
    let spec = json!({ "dataSourceRef": { "apiGroup": "hello.io", "kind": "Hello", "name": "x" } });
    assert_eq!(
        claim_decision(&claim(json!({ "spec": spec })), Some(&class(json!({})))),
        ClaimDecision::Populator("Hello".to_owned())
    );
}

#[test]
fn the_beta_annotation_of_the_class_wins() {
    let claim = claim(json!({ "metadata": { "annotations": { STORAGE_CLASS_BETA: "beta" } } }));
    assert_eq!(class_name(&claim), Some("beta"));
}

#[test]
fn a_claim_is_the_same_by_uid_only() {
    assert!(is_same_claim("1", Some(&claim(json!({})))));
    assert!(!is_same_claim("2", Some(&claim(json!({})))));
    assert!(!is_same_claim("1", None));
}

#[rstest]
#[case(json!({}), "ns-claim-pvc-1")]
#[case(json!({ "pathPattern": "${.PVC.namespace}/${.PVC.name}" }), "ns/claim")]
#[case(json!({ "pathPattern": "${.PVC.annotations.gone}" }), "ns-claim-pvc-1")]
fn the_directory_follows_the_pattern(#[case] pairs: Value, #[case] expected: &str) {
    let directory = directory(&target(), &parameters(&pairs), &claim(json!({})), "pvc-1").unwrap();
    assert_eq!(directory.to_string(), expected);
}

#[rstest]
#[case("..")]
#[case("a/../../b")]
#[case("/etc")]
#[case(".claimcheck/x")]
#[case("a\nb")]
fn a_label_or_annotation_cannot_leave_the_export(#[case] value: &str) {
    let parameters = parameters(&json!({ "pathPattern": "${.PVC.annotations.dir}" }));
    let claim = claim(json!({ "metadata": { "annotations": { "dir": value } } }));
    let refusal = directory(&target(), &parameters, &claim, "pvc-1").unwrap_err();
    assert!(matches!(refusal, Refusal::Path { .. }));
    assert!(refusal.is_lasting());
}

fn record(patch: impl FnOnce(&mut Record)) -> Record {
    let mut record = Record {
        format: FORMAT,
        volume: "pvc-1".to_owned(),
        claim: ClaimId {
            namespace: "ns".to_owned(),
            name: "claim".to_owned(),
            uid: "1".to_owned(),
        },
        directory: RelativePath::parse("ns/claim").unwrap(),
        parents: Vec::new(),
        identity: Some(DirectoryIdentity {
            fsid: 1,
            fileid: 2,
            on_root: true,
        }),
        origin: Origin::Created,
        on_delete: OnDelete::Archive,
        state: State::Saved,
        archive: None,
        reclaim_policy: Some("Delete".to_owned()),
        replaces: None,
        awaits_class: None,
        terms: Terms::default(),
        transitions: 0,
    };
    patch(&mut record);
    record
}

fn neighbour(relation: Relation, record: Option<Record>) -> Neighbour {
    Neighbour {
        relation,
        volume: "pvc-0".to_owned(),
        directory: RelativePath::parse("ns/claim").unwrap(),
        record,
    }
}

#[test]
fn only_a_directory_kept_for_the_same_name_may_be_had_again() {
    let path = RelativePath::parse("ns/claim").unwrap();
    let place = |neighbours| {
        placement(
            &path,
            &claim(json!({})),
            SharedDirectory::Forbid,
            neighbours,
        )
    };
    let kept = record(|record| record.state = State::Kept);
    assert_eq!(place(Vec::new()), Ok(Placement::Free));
    assert_eq!(
        place(vec![neighbour(Relation::Same, Some(kept.clone()))]),
        Ok(Placement::Kept(Box::new(kept.clone())))
    );
    assert!(place(vec![neighbour(Relation::Same, None)]).is_err());
    assert!(place(vec![neighbour(Relation::Same, Some(record(|_| ())))]).is_err());
    assert!(place(vec![neighbour(Relation::Inside, Some(kept.clone()))]).is_err());
    assert!(place(vec![neighbour(Relation::Around, Some(kept.clone()))]).is_err());
    let other = record(|record| {
        record.state = State::Kept;
        record.claim.namespace = "elsewhere".to_owned();
    });
    let refusal = place(vec![neighbour(Relation::Same, Some(other))]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the directory ns/claim is ns/claim, which belongs to volume pvc-0"
    );
    assert!(!refusal.is_lasting(), "the other volume may go");
}

#[rstest]
#[case("ns/claim", json!({ "pathPattern": "${.PVC.namespace}/${.PVC.name}" }), Some(Origin::Reused))]
#[case("ns-claim-pvc-1", json!({}), Some(Origin::Reused))]
#[case("x", json!({ "pathPattern": "${.PVC.labels.dir}" }), None)]
#[case("x", json!({ "pathPattern": "${.PVC.annotations.dir}" }), None)]
#[case("archived-ns-claim/data", json!({ "pathPattern": "archived-${.PVC.namespace}-${.PVC.name}/data" }), None)]
#[case("ns/archived-claim", json!({ "pathPattern": "${.PVC.namespace}/archived-${.PVC.name}" }), None)]
fn an_unrecorded_directory_is_taken_only_where_the_author_could_not_aim_it(
    #[case] path: &str,
    #[case] pairs: Value,
    #[case] origin: Option<Origin>,
) {
    let path = RelativePath::parse(path).unwrap();
    assert_eq!(
        existing_directory(&path, &parameters(&pairs), None).ok(),
        origin
    );
    let kept = record(|_| ());
    assert_eq!(
        existing_directory(&path, &parameters(&pairs), Some(&kept)),
        Ok(Origin::Created)
    );
}

fn built(class_patch: Value, claim_patch: Value, finalizer: bool) -> PersistentVolume {
    let scope = Scope {
        finalizer,
        ..scope()
    };
    volume::volume_object(&VolumeRequest {
        scope: &scope,
        claim: &claim(claim_patch),
        class: &class(class_patch),
        name: "pvc-1",
        directory: &RelativePath::parse("ns/claim").unwrap(),
        origin: Origin::Created,
        on_delete: OnDelete::Archive,
    })
}

#[test]
fn the_volume_object_is_complete() {
    let volume = built(
        json!({ "mountOptions": ["nfsvers=4.1", "hard"] }),
        json!({}),
        false,
    );
    assert_eq!(
        serde_json::to_value(&volume).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": "pvc-1",
                "annotations": {
                    "pv.kubernetes.io/provisioned-by": "westos.org/nfs",
                    "claimcheck.dev/owner": "owner",
                    "claimcheck.dev/export-id": "export",
                    "claimcheck.dev/directory": "ns/claim",
                    "claimcheck.dev/origin": "created",
                    "claimcheck.dev/on-delete": "archive",
                },
            },
            "spec": {
                "accessModes": ["ReadWriteMany", "ReadOnlyMany"],
                "capacity": { "storage": "100Mi" },
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "ns", "name": "claim",
                    "uid": "1", "resourceVersion": "7",
                },
                "mountOptions": ["nfsvers=4.1", "hard"],
                "nfs": { "server": "server", "path": "/export/ns/claim", "readOnly": false },
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": "class",
                "volumeMode": "Filesystem",
            },
        })
    );
}

#[test]
fn policy_and_finalizer_follow_class_and_rights() {
    let volume = built(json!({ "reclaimPolicy": "Retain" }), json!({}), true);
    assert_eq!(
        volume
            .spec
            .unwrap()
            .persistent_volume_reclaim_policy
            .as_deref(),
        Some("Retain")
    );
    assert_eq!(
        volume.metadata.finalizers.unwrap(),
        [crate::constants::VOLUME_FINALIZER]
    );
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({ "spec": { "claimRef": { "uid": "2" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/other" } } }), false)]
#[case(json!({ "spec": { "nfs": { "server": "other" } } }), false)]
#[case(json!({ "metadata": { "annotations": { crate::constants::PROVISIONED_BY: "other" } } }), false)]
#[case(json!({ "metadata": { "labels": { "a": "b" } }, "status": { "phase": "Bound" } }), true)]
fn a_volume_of_the_name_is_ours_only_if_the_facts_agree(#[case] patch: Value, #[case] same: bool) {
    let wanted = built(json!({}), json!({}), false);
    let mut found = serde_json::to_value(&wanted).unwrap();
    merge(&mut found, patch);
    assert_eq!(
        volume::is_same_volume(&wanted, &serde_json::from_value(found).unwrap()),
        same
    );
}

fn released(patch: Value) -> PersistentVolume {
    let mut value = serde_json::to_value(built(json!({}), json!({}), false)).unwrap();
    merge(&mut value, json!({ "status": { "phase": "Released" } }));
    merge(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({ "status": { "phase": "Bound" } }), false)]
#[case(json!({ "status": { "phase": "Failed" } }), false)]
#[case(json!({ "spec": { "persistentVolumeReclaimPolicy": "Retain" } }), false)]
fn only_a_released_volume_of_policy_delete_goes(#[case] patch: Value, #[case] goes: bool) {
    assert_eq!(reclaim::is_reclaimable(&released(patch)), goes);
}

#[rstest]
#[case(json!({}), true)]
#[case(json!({ "metadata": { "annotations": { crate::constants::PROVISIONED_BY: "other" } } }), false)]
#[case(json!({ "metadata": { "annotations": { crate::constants::PROVISIONED_BY: null } } }), false)]
#[case(json!({ "spec": { "nfs": { "server": "other" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/exports/ns" } } }), false)]
#[case(json!({ "spec": { "nfs": { "path": "/export/../etc" } } }), false)]
fn a_volume_is_ours_by_name_server_and_path(#[case] patch: Value, #[case] ours: bool) {
    assert_eq!(reclaim::is_our_volume(&target(), &released(patch)), ours);
}

#[test]
fn a_volume_waits_for_the_very_claim_it_was_made_for() {
    let volume = released(json!({}));
    assert!(reclaim::is_claim_gone(&volume, None));
    assert!(reclaim::is_claim_gone(
        &volume,
        Some(&claim(json!({ "metadata": { "uid": "2" } })))
    ));
    assert!(!reclaim::is_claim_gone(&volume, Some(&claim(json!({})))));
    assert!(!reclaim::is_claim_gone(
        &volume,
        Some(&claim(json!({ "spec": { "volumeName": "pvc-1" } })))
    ));
    assert!(reclaim::is_claim_gone(
        &volume,
        Some(&claim(json!({ "spec": { "volumeName": "elsewhere" } })))
    ));
    let unknown = released(json!({ "spec": { "claimRef": { "uid": null } } }));
    assert!(!reclaim::is_claim_gone(&unknown, None));
}

#[rstest]
#[case(OnDelete::Delete)]
#[case(OnDelete::Retain)]
#[case(OnDelete::Archive)]
fn the_recorded_policy_is_applied_unless_an_administrator_edited_it(#[case] recorded: OnDelete) {
    let record = record(|record| record.on_delete = recorded);
    let plain =
        released(json!({ "metadata": { "annotations": { crate::constants::ON_DELETE: null } } }));
    assert_eq!(
        reclaim::disposal(&scope(), &plain, Some(&record)),
        Disposal::Apply(recorded)
    );
    let edited = released(
        json!({ "metadata": { "annotations": { crate::constants::ON_DELETE: "retain" } } }),
    );
    assert_eq!(
        reclaim::disposal(&scope(), &edited, Some(&record)),
        Disposal::Apply(OnDelete::Retain)
    );
    let bad = released(
        json!({ "metadata": { "annotations": { crate::constants::ON_DELETE: "Archive" } } }),
    );
    assert!(matches!(
        reclaim::disposal(&scope(), &bad, Some(&record)),
        Disposal::Blocked(_)
    ));
}

#[test]
fn without_proof_nothing_is_touched() {
    let mine = record(|_| ());
    let volume = released(json!({}));
    assert!(matches!(
        reclaim::disposal(&scope(), &volume, None),
        Disposal::LeaveAlone(_)
    ));
    let elsewhere = record(|record| record.directory = RelativePath::parse("other").unwrap());
    assert!(matches!(
        reclaim::disposal(&scope(), &volume, Some(&elsewhere)),
        Disposal::LeaveAlone(_)
    ));
    let other_claim = record(|record| record.claim.uid = "2".to_owned());
    assert!(matches!(
        reclaim::disposal(&scope(), &volume, Some(&other_claim)),
        Disposal::LeaveAlone(_)
    ));
    for key in [crate::constants::OWNER, crate::constants::EXPORT_ID] {
        let foreign = released(json!({ "metadata": { "annotations": { key: "other" } } }));
        assert!(matches!(
            reclaim::disposal(&scope(), &foreign, Some(&mine)),
            Disposal::Foreign(_)
        ));
    }
    let reused = record(|record| record.origin = Origin::Reused);
    assert!(matches!(
        reclaim::disposal(&scope(), &volume, Some(&reused)),
        Disposal::Keep(_)
    ));
}

#[rstest]
#[case(Some("Delete"), Origin::Created, Disposal::Apply(OnDelete::Archive))]
fn a_volume_deleted_first_follows_the_last_policy_seen(
    #[case] policy: Option<&str>,
    #[case] origin: Origin,
    #[case] expected: Disposal,
) {
    let record = |policy: Option<&str>, origin| {
        record(|record| {
            record.reclaim_policy = policy.map(str::to_owned);
            record.origin = origin;
        })
    };
    assert_eq!(
        reclaim::disposal_without_volume(&record(policy, origin)),
        expected
    );
    assert!(matches!(
        reclaim::disposal_without_volume(&record(Some("Retain"), origin)),
        Disposal::Keep(_)
    ));
    assert!(matches!(
        reclaim::disposal_without_volume(&record(None, origin)),
        Disposal::Keep(_)
    ));
    assert!(matches!(
        reclaim::disposal_without_volume(&record(policy, Origin::Reused)),
        Disposal::Keep(_)
    ));
}

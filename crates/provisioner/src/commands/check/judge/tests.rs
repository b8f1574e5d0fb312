use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::access::{RULES, Reviewed};
use crate::config::Config;
use crate::export::Found;
use crate::records::example;

fn config() -> Config {
    crate::cli::example_config()
}

fn facts(config: &Config) -> Facts<'_> {
    Facts {
        config,
        spelling: "/export",
        owner: None,
        reviewed: reviewed(&[]),
        classes: vec![class(&json!({ "archiveOnDelete": "false" }))],
        volumes: Vec::new(),
        claims: Vec::new(),
        old_holder: None,
        export: Ok(Seen::default()),
    }
}

/// Every right but those on these resources.
fn reviewed(missing: &[&str]) -> Vec<Reviewed> {
    RULES
        .iter()
        .map(|rule| Reviewed {
            rule: *rule,
            granted: !missing.contains(&rule.right.resource),
        })
        .collect()
}

fn class(parameters: &Value) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": { "name": "c" }, "provisioner": "a.b/c", "parameters": parameters,
    }))
    .unwrap()
}

fn volume(name: &str, path: &str, policy: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": "a.b/c" } },
        "spec": {
            "nfs": { "server": "server", "path": path },
            "claimRef": { "namespace": "ns", "name": name, "uid": name },
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": "c",
        },
    }))
    .unwrap()
}

fn seen(directories: &[&str]) -> Seen {
    Seen {
        directories: directories
            .iter()
            .map(|path| (RelativePath::parse(path).unwrap(), Kind::Directory))
            .collect(),
        ..Seen::default()
    }
}

/// Level and kind of every finding.
fn kinds(facts: &Facts<'_>) -> Vec<(Level, &'static str)> {
    let (found, _) = findings(facts);
    found
        .iter()
        .map(|finding| (finding.level, finding.kind))
        .collect()
}

#[test]
fn nothing_out_of_the_ordinary_gives_no_finding() {
    let config = config();
    assert_eq!(kinds(&facts(&config)), []);
}

#[test]
fn volumes_are_told_with_what_becomes_of_them() {
    let config = config();
    let mut facts = facts(&config);
    facts.volumes = vec![
        volume("deleted", "/export/a", "Delete"),
        volume("kept", "/export/b/", "Retain"),
        volume("elsewhere", "/other/c", "Delete"),
        volume("root", "/export", "Delete"),
    ];
    facts.export = Ok(seen(&["a", "b"]));
    let (found, counts) = findings(&facts);
    assert_eq!(
        counts,
        Counts {
            adopted: 2,
            recorded: 0,
            left: 2
        }
    );
    let text = |kind: &str| -> Vec<String> {
        found
            .iter()
            .filter(|finding| finding.kind == kind)
            .map(|finding| format!("{}: {}", finding.object, finding.message))
            .collect()
    };
    assert_eq!(
        text("volume-adopted"),
        [
            "volume deleted: it is taken over; its directory a is removed with its claim",
            "volume kept: it is taken over; its directory b stays, as the reclaim policy is not Delete",
        ]
    );
    assert_eq!(
        text("volume-path"),
        ["volume kept: its path \"/export/b/\" is read as \"/export/b\""]
    );
    assert_eq!(text("volume-other-path").len(), 1);
    assert_eq!(text("volume-is-export").len(), 1);
    assert!(found.iter().all(|finding| finding.level != Level::Problem));
}

#[test]
fn a_volume_with_a_record_is_not_taken_over_again() {
    let config = config();
    let mut facts = facts(&config);
    facts.owner = Some("us".to_owned());
    facts.volumes = vec![volume("pvc-1", "/export/a/b", "Delete")];
    facts.export = Ok(Seen {
        id: Some("e".to_owned()),
        records: Found {
            own: vec![example()],
            foreign: Vec::new(),
        },
        ..seen(&["a/b"])
    });
    assert_eq!(
        findings(&facts).1,
        Counts {
            adopted: 0,
            recorded: 1,
            left: 0
        }
    );
}

#[test]
fn a_volume_that_another_deployment_has_a_record_of_is_left() {
    let config = config();
    let mut facts = facts(&config);
    facts.volumes = vec![volume("1", "/export/a/b", "Delete")];
    facts.export = Ok(Seen {
        records: Found {
            own: Vec::new(),
            foreign: vec![("them".to_owned(), example())],
        },
        ..seen(&["a/b"])
    });
    assert_eq!(kinds(&facts), [(Level::Note, "volume-other-deployment")]);
    assert_eq!(findings(&facts).1.left, 1);
}

#[test]
fn shared_and_nested_directories_are_told_once_each() {
    let config = config();
    let mut facts = facts(&config);
    facts.volumes = vec![
        volume("1", "/export/a", "Retain"),
        volume("2", "/export/a", "Retain"),
        volume("3", "/export/b", "Retain"),
        volume("4", "/export/b/c", "Retain"),
        volume("5", "/export/bc", "Retain"),
    ];
    facts.export = Ok(seen(&["a", "b", "b/c", "bc"]));
    let (found, _) = findings(&facts);
    let told: Vec<(&str, &str)> = found
        .iter()
        .filter(|finding| finding.level == Level::Warning)
        .map(|finding| (finding.kind, finding.object.as_str()))
        .collect();
    assert_eq!(
        told,
        [("directory-overlap", "b"), ("directory-shared", "a")]
    );
}

#[rstest]
#[case(json!({ "server": "x" }), (Level::Problem, "class-refused"))]
#[case(json!({ "onDelete": "keep" }), (Level::Problem, "class-refused"))]
#[case(json!({ "pathPattern": "$${.PVC.namespace}" }), (Level::Warning, "class-dollar"))]
#[case(json!({ "pathPattern": "${.PVC.namespace}$" }), (Level::Warning, "class-dollar"))]
fn a_class_that_would_surprise_is_told(
    #[case] parameters: Value,
    #[case] expected: (Level, &'static str),
) {
    let config = config();
    let mut facts = facts(&config);
    facts.classes = vec![class(&parameters)];
    assert_eq!(kinds(&facts), [expected]);
}

#[rstest]
#[case("plain", false)]
#[case("${.PVC.namespace}/${.PVC.name}", false)]
#[case("$${.PVC.name}", true)]
#[case("a$", true)]
#[case("${.PVC.name", true)]
fn a_dollar_outside_a_token_is_seen(#[case] pattern: &str, #[case] stray: bool) {
    assert_eq!(has_stray_dollar(pattern), stray);
}

#[test]
fn a_volume_whose_class_is_gone_is_told() {
    let config = config();
    let mut facts = facts(&config);
    facts.classes = Vec::new();
    facts.volumes = vec![volume("1", "/export/a", "Delete")];
    facts.export = Ok(seen(&["a"]));
    assert_eq!(
        kinds(&facts),
        [
            (Level::Warning, "class-gone"),
            (Level::Note, "volume-adopted")
        ]
    );
    facts.volumes = vec![volume("1", "/export/a", "Retain")];
    assert_eq!(kinds(&facts), [(Level::Note, "volume-adopted")]);
}

#[test]
fn a_missing_directory_and_a_released_volume_are_told() {
    let config = config();
    let mut facts = facts(&config);
    let mut released = volume("1", "/export/a", "Delete");
    released.status = Some(serde_json::from_value(json!({ "phase": "Released" })).unwrap());
    facts.volumes = vec![released];
    assert_eq!(
        kinds(&facts),
        [
            (Level::Warning, "directory-missing"),
            (Level::Warning, "volume-released"),
            (Level::Note, "volume-adopted"),
        ]
    );
}

#[test]
fn an_export_that_cannot_be_looked_at_or_is_another_one_is_a_problem() {
    let config = config();
    let mut facts = facts(&config);
    facts.export = Err("stat /: the server cannot be reached".to_owned());
    assert_eq!(kinds(&facts), [(Level::Problem, "export-unreachable")]);

    let mut ours = volume("1", "/export/a", "Delete");
    let annotations = ours.annotations_mut();
    annotations.insert(OWNER.to_owned(), "us".to_owned());
    annotations.insert(EXPORT_ID.to_owned(), "one".to_owned());
    facts.volumes = vec![ours];
    facts.owner = Some("us".to_owned());
    facts.export = Ok(Seen {
        id: Some("two".to_owned()),
        ..seen(&["a"])
    });
    assert!(kinds(&facts).contains(&(Level::Problem, "export-other")));
}

/// A volume that says it is of the deployment `us`, on an export.
fn ours(name: &str, path: &str, export: &str) -> PersistentVolume {
    let mut ours = volume(name, path, "Delete");
    let annotations = ours.annotations_mut();
    annotations.insert(OWNER.to_owned(), "us".to_owned());
    annotations.insert(EXPORT_ID.to_owned(), export.to_owned());
    ours
}

/// The rule of `run`: see `export::expected`.
#[rstest]
#[case(vec![example()], false)]
#[case(Vec::new(), true)]
fn volumes_that_name_another_export_matter_unless_a_record_proves_this_one(
    #[case] own: Vec<crate::records::Record>,
    #[case] is_problem: bool,
) {
    let config = config();
    let mut facts = facts(&config);
    facts.owner = Some("us".to_owned());
    facts.volumes = vec![
        ours("pvc-1", "/export/a/b", "one"),
        ours("forged", "/export/c", "two"),
        ours("forged-too", "/export/d", "two"),
    ];
    facts.export = Ok(Seen {
        id: Some("one".to_owned()),
        records: Found {
            own,
            foreign: Vec::new(),
        },
        ..seen(&["a/b", "c", "d"])
    });
    let kinds = kinds(&facts);
    let problem = (Level::Problem, "export-other");
    assert_eq!(kinds.contains(&problem), is_problem, "{kinds:?}");
    let left = (Level::Note, "volume-other-deployment");
    assert_eq!(kinds.iter().filter(|kind| **kind == left).count(), 2);
}

#[test]
fn a_volume_of_ours_whose_record_is_gone_is_told() {
    let config = config();
    let mut facts = facts(&config);
    facts.owner = Some("us".to_owned());
    facts.volumes = vec![ours("pvc-1", "/export/a/b", "one")];
    facts.export = Ok(Seen {
        id: Some("one".to_owned()),
        ..seen(&["a/b"])
    });
    assert_eq!(kinds(&facts), [(Level::Warning, "record-missing")]);
    assert_eq!(findings(&facts).1.left, 1);
}

#[test]
fn missing_rules_are_problems_or_warnings_by_what_they_stop() {
    let config = config();
    let mut facts = facts(&config);
    facts.reviewed = reviewed(&["persistentvolumeclaims", "events", "leases"]);
    let levels: Vec<Level> = findings(&facts)
        .0
        .iter()
        .map(|finding| finding.level)
        .collect();
    // Three rules on claims; three on leases, which Endpoints stand in for, and two on events.
    assert_eq!(
        levels
            .iter()
            .filter(|level| **level == Level::Problem)
            .count(),
        3
    );
    assert_eq!(
        levels
            .iter()
            .filter(|level| **level == Level::Warning)
            .count(),
        5
    );
}

#[rstest]
#[case("/export/", true)]
#[case("/export", false)]
fn a_trailing_slash_is_told(#[case] spelling: &str, #[case] told: bool) {
    let config = config();
    let facts = Facts {
        spelling,
        ..facts(&config)
    };
    assert_eq!(kinds(&facts).contains(&(Level::Note, "export-path")), told);
}

#[test]
fn the_older_provisioner_is_named_while_its_lock_has_a_holder() {
    let config = config();
    let facts = Facts {
        old_holder: Some("old_1".to_owned()),
        ..facts(&config)
    };
    let (found, _) = findings(&facts);
    assert_eq!(found[0].kind, "old-lock");
    assert_eq!(found[0].object, "endpoints ns/a.b-c");
}

fn claim(name: &str, volume: Option<&str>, annotations: &Value) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": { "namespace": "ns", "name": name, "uid": "u", "annotations": annotations },
        "spec": { "storageClassName": "c", "volumeName": volume, "volumeMode": "Filesystem" },
    }))
    .unwrap()
}

#[test]
fn claims_that_could_not_be_made_again_are_told() {
    let config = config();
    let mut facts = facts(&config);
    facts.classes = vec![class(
        &json!({ "pathPattern": "${.PVC.namespace}/${.PVC.annotations.dir}" }),
    )];
    facts.claims = vec![
        claim("sound", Some("v"), &json!({ "dir": "x" })),
        claim("empty", Some("v"), &json!({})),
    ];
    let (found, _) = findings(&facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].kind, found[0].object.as_str()),
        ("claim-path", "claim ns/empty")
    );
}

#[test]
fn a_waiting_claim_that_would_be_refused_and_a_long_name_are_told() {
    let config = config();
    let mut facts = facts(&config);
    let mut block = claim("block", None, &json!({}));
    block.spec.as_mut().unwrap().volume_mode = Some("Block".to_owned());
    facts.claims = vec![block, claim(&"x".repeat(253), Some("v"), &json!({}))];
    assert_eq!(
        kinds(&facts),
        [
            (Level::Warning, "claim-refused"),
            (Level::Note, "claim-name-cut")
        ]
    );
}

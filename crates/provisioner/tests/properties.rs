//! Any claim, any class, any record: what may come out, whatever goes in.
//!
//! The texts are made of what breaks paths (CVE-2026-3864 and its kin) mixed with arbitrary ones.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its own set-up fails"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Component as Part, Path};

use k8s_openapi::api::core::v1::{
    NFSVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
};
use kube::api::ObjectMeta;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use provisioner::class::{self, OnDelete, SharedDirectory};
use provisioner::config::{
    DirectoryAttributes, ExportPath, ProvisionerName, Target, UnknownParameters,
};
use provisioner::decide::{self, Placement, attributes, reclaim};
use provisioner::index::Index;
use provisioner::path::{Component, RelativePath, naming};
use provisioner::records::{ClaimId, DirectoryIdentity, FORMAT, Origin, Record, State, Terms};

/// What breaks paths, and enough plain text for some to be good.
const PIECES: [&str; 32] = [
    "a",
    "b",
    "data",
    "ns",
    "-",
    "_",
    "/",
    "/",
    "//",
    "..",
    ".",
    "../",
    "/..",
    "\\",
    "\0",
    "\n",
    " ",
    "\t",
    "\u{a0}",
    "\u{7f}",
    "\u{202e}",
    "é",
    "日本",
    "$",
    "${",
    "}",
    "${.PVC.name}",
    ".claimcheck",
    ".nfs0001",
    "lost+found",
    "archived-",
    ".Snapshot",
];
const TOKENS: [&str; 6] = [
    "${.PVC.name}",
    "${.PVC.namespace}",
    "${.PV.name}",
    "${.PVC.labels.one}",
    "${.PVC.annotations.two}",
    "${.PVC.annotations.absent}",
];
const PARAMETERS: [&str; 11] = [
    "allowClaimOverrides",
    "archiveOnDelete",
    "checkFreeSpace",
    "directoryGid",
    "directoryMode",
    "directoryUid",
    "existingDirectory",
    "onDelete",
    "pathPattern",
    "removeEmptyParents",
    "sharedDirectory",
];
const OVERRIDES: [&str; 3] = [
    "k8s-sigs.io/nfs-directory-mode",
    "k8s-sigs.io/nfs-directory-uid",
    "k8s-sigs.io/nfs-directory-gid",
];

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => vec(select(&PIECES[..]), 0..8).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        1 => (select(&PIECES[..]), 0_usize..400).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => select(&TOKENS[..]).prop_map(str::to_owned),
        2 => select(&PIECES[..]).prop_map(str::to_owned),
        2 => Just("/".to_owned()),
    ];
    vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

/// As the API gives them, or anything at all.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", 1 => text()]
}

fn export() -> impl Strategy<Value = ExportPath> {
    let good = select(&["/", "/export", "/a/b/c", "/with space", "/..x"][..]);
    let long = (1_usize..1000).prop_map(|length| format!("/{}", "x".repeat(length)));
    prop_oneof![good.prop_map(str::to_owned), long].prop_map(|text| ExportPath::new(&text).unwrap())
}

prop_compose! {
    fn claim()(
        namespace in name(),
        name in name(),
        one in text(),
        two in text(),
        asked in btree_map(select(&OVERRIDES[..]), text(), 0..3),
    ) -> PersistentVolumeClaim {
        let mut annotations: BTreeMap<String, String> =
            asked.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        annotations.insert("two".to_owned(), two);
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                namespace: Some(namespace),
                name: Some(name),
                labels: Some(BTreeMap::from([("one".to_owned(), one)])),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            ..PersistentVolumeClaim::default()
        }
    }
}

fn target(export: ExportPath) -> Target {
    Target {
        provisioner: ProvisionerName::new("westos.org/nfs").unwrap(),
        server: "server".to_owned(),
        aliases: Vec::new(),
        export,
    }
}

fn record(volume: &str, directory: &RelativePath) -> Record {
    Record {
        format: FORMAT,
        volume: volume.to_owned(),
        claim: ClaimId {
            namespace: "ns".to_owned(),
            name: "claim".to_owned(),
            uid: volume.to_owned(),
        },
        directory: directory.clone(),
        parents: directory
            .parent()
            .filter(|parent| !parent.is_root())
            .into_iter()
            .collect(),
        identity: Some(DirectoryIdentity {
            fsid: 1,
            fileid: 2,
            on_root: true,
        }),
        origin: Origin::Created,
        on_delete: OnDelete::Archive,
        state: State::Saved,
        archive: naming::archive_name(directory, volume, 0),
        reclaim_policy: None,
        replaces: None,
        awaits_class: None,
        terms: Terms::default(),
        transitions: 0,
    }
}

/// All that holds of a directory a volume may have, judged with the standard library's own idea of
/// a path where there is one.
fn judge(export: &ExportPath, directory: &RelativePath) -> Result<(), TestCaseError> {
    let root = export.to_string();
    let full = export.join(directory);
    let parts: Vec<Part<'_>> = Path::new(&full).components().collect();
    let below = Path::new(&full).strip_prefix(&root).unwrap();
    prop_assert!(
        parts
            .iter()
            .skip(1)
            .all(|part| matches!(part, Part::Normal(_))),
        "{full:?}"
    );
    prop_assert_eq!(below.components().count(), directory.components().len());
    prop_assert!(!directory.is_root());
    prop_assert!(full.len() <= 1024, "{}", full.len());
    prop_assert!(!full.contains("//") && !full.ends_with('/'), "{full:?}");
    for component in directory.components() {
        let text = component.as_str();
        prop_assert!(!text.is_empty() && text.len() <= 255);
        prop_assert!(
            !text
                .chars()
                .any(|c| c.is_control() || c == '\\' || c == '/')
        );
        prop_assert_eq!(text.trim(), text);
        prop_assert!(!text.to_lowercase().starts_with(".nfs"), "{text:?}");
    }
    let first = directory.components()[0].as_str().to_lowercase();
    prop_assert!(![".claimcheck", "lost+found", ".snapshot", ".zfs"].contains(&first.as_str()));

    // Text, volume and record give it back.
    prop_assert_eq!(
        &RelativePath::parse(&directory.to_string()).unwrap(),
        directory
    );
    prop_assert_eq!(export.below(&full), Some(directory.clone()));
    let recorded = record("pvc-1", directory);
    let read = Record::from_bytes("pvc-1", &recorded.to_bytes()).unwrap();
    prop_assert_eq!(read, recorded);

    // And so it stays when it is archived.
    for attempt in 0..3 {
        let archive = naming::archive_name(directory, "pvc-1", attempt).unwrap();
        prop_assert_eq!(archive.parent(), directory.parent());
        prop_assert!(archive.leaf().unwrap().as_str().starts_with("archived-"));
        prop_assert_ne!(&archive, directory);
    }
    Ok(())
}

/// Counts what comes out, so that the texts are known to be neither all good nor all bad.
#[test]
fn a_directory_is_inside_may_be_had_and_comes_back_from_its_record() {
    let (served, refused) = (Cell::new(0), Cell::new(0));
    let input = (pattern(), claim(), name(), export());
    TestRunner::new(config())
        .run(&input, |(pattern, claim, volume, export)| {
            let given = BTreeMap::from([("pathPattern".to_owned(), pattern)]);
            let Ok(parameters) = class::parameters(Some(&given), UnknownParameters::Refuse) else {
                return Ok(());
            };
            let target = target(export);
            match decide::directory(&target, &parameters, &claim, &volume) {
                Ok(directory) => {
                    served.set(served.get() + 1);
                    judge(&target.export, &directory)
                }
                Err(refusal) => {
                    refused.set(refused.get() + 1);
                    prop_assert!(!refusal.to_string().is_empty());
                    Ok(())
                }
            }
        })
        .unwrap();
    assert!(
        served.get() > 200 && refused.get() > 200,
        "{served:?} {refused:?}"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_default_directory_is_one_component_whatever_the_names(
        claim in claim(), volume in name(), export in export(),
    ) {
        let parameters = class::parameters(None, UnknownParameters::Refuse).unwrap();
        let target = target(export);
        if let Ok(directory) = decide::directory(&target, &parameters, &claim, &volume) {
            prop_assert_eq!(directory.components().len(), 1);
            judge(&target.export, &directory)?;
        }
    }

    /// One pass: what a value looks like never matters.
    #[test]
    fn a_value_that_looks_like_a_token_stays_text(value in text()) {
        let pattern = provisioner::path::pattern::Pattern::parse("${.PVC.labels.one}").unwrap();
        let labels = BTreeMap::from([("one".to_owned(), value.clone())]);
        let rendered = pattern.render(provisioner::path::pattern::Values {
            namespace: "ns", name: "claim", labels: Some(&labels), annotations: None, volume: "pvc-1",
        });
        prop_assert_eq!(rendered.text, value);
    }

    #[test]
    fn a_parameter_is_honoured_or_refused_by_name_with_its_value(
        given in btree_map(select(&PARAMETERS[..]), prop_oneof![text(), select(&["own", "namespace", "0750", "mode,uid", "true", "delete", "1000", ""][..]).prop_map(str::to_owned)], 0..4),
    ) {
        let given: BTreeMap<String, String> =
            given.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        match class::parameters(Some(&given), UnknownParameters::Refuse) {
            Ok(parameters) => {
                prop_assert!(parameters.directories.mode.is_none_or(|mode| mode <= 0o7777));
                prop_assert!(parameters.directories.uid != Some(u32::MAX));
                prop_assert!(parameters.directories.gid != Some(u32::MAX));
            }
            Err(error) => {
                let told = error.to_string();
                let named = given.keys().find(|key| told.contains(&format!("`{key}`")));
                prop_assert!(named.is_some(), "{}", told);
            }
        }
    }

    #[test]
    fn what_a_claim_asks_for_is_in_range_or_refused_and_never_more_than_allowed(
        claim in claim(), allowed in select(&["", "mode", "uid", "gid", "mode,uid,gid"][..]),
    ) {
        let given = BTreeMap::from([("allowClaimOverrides".to_owned(), allowed.to_owned())]);
        let rules = class::parameters(Some(&given), UnknownParameters::Refuse).unwrap().directories;
        let usual = DirectoryAttributes::default();
        match attributes::attributes(usual, &rules, &claim) {
            Ok(found) => {
                prop_assert!(found.mode <= 0o7777);
                prop_assert!(found.mode == usual.mode || allowed.contains("mode"));
                prop_assert!(found.uid.is_none() || allowed.contains("uid"));
                prop_assert!(found.gid.is_none() || allowed.contains("gid"));
            }
            Err(refusal) => {
                prop_assert!(!allowed.is_empty());
                prop_assert!(refusal.to_string().contains("k8s-sigs.io/nfs-directory-"));
            }
        }
    }

    #[test]
    fn bytes_are_a_sound_record_or_none(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(record) = Record::from_bytes("pvc-1", &bytes) {
            prop_assert!(!record.directory.is_root());
        }
    }

    #[test]
    fn a_record_with_any_place_is_sound_or_refused(
        directory in text(), archive in proptest::option::of(text()), parent in text(), replaces in text(),
    ) {
        let good = record("pvc-1", &RelativePath::parse("a/b").unwrap());
        let mut value = serde_json::to_value(&good).unwrap();
        value["directory"] = directory.into();
        value["archive"] = archive.into();
        value["parents"] = serde_json::json!([parent]);
        value["replaces"] = replaces.into();
        if let Ok(read) = Record::from_bytes("pvc-1", &serde_json::to_vec(&value).unwrap()) {
            prop_assert!(naming::check(&read.directory, &ExportPath::new("/").unwrap()).is_ok() || read.directory.to_string().len() > 1000);
            prop_assert!(read.parents.iter().all(|parent| parent.contains(&read.directory) && !parent.is_root()));
            prop_assert!(read.archive.is_none_or(|archive| archive.parent() == read.directory.parent()));
            prop_assert!(read.replaces.is_none_or(|name| Component::new(name).is_ok()));
        }
    }

    #[test]
    fn the_path_of_any_volume_is_below_the_export_or_not_ours(path in text(), rooted in any::<bool>(), export in export()) {
        let target = target(export);
        let path = if rooted { format!("{}/{path}", target.export) } else { path };
        let volume = PersistentVolume {
            spec: Some(PersistentVolumeSpec {
                nfs: Some(NFSVolumeSource { server: "server".to_owned(), path: path.clone(), read_only: None }),
                ..PersistentVolumeSpec::default()
            }),
            ..PersistentVolume::default()
        };
        if let Some(directory) = reclaim::volume_directory(&target, &volume) {
            prop_assert!(!directory.is_root());
            prop_assert!(!path.split('/').any(|part| part == ".."), "{}", path);
            let full = target.export.join(&directory);
            prop_assert!(Path::new(&full).starts_with(target.export.to_string()));
            prop_assert!(Path::new(&path).components().eq(Path::new(&full).components()), "{} {}", path, full);
        }
    }

    /// Claims that come one after the other, as a table says who may have what.
    #[test]
    fn no_two_volumes_have_directories_one_of_which_holds_the_other(
        asked in vec((vec(select(&["a", "b", "ab"][..]), 1..4), select(&["one", "two"][..]), 0_u8..3), 1..12),
    ) {
        let index = Index::default();
        let mut had: Vec<(RelativePath, &str, SharedDirectory)> = Vec::new();
        for (at, (components, namespace, scope)) in asked.into_iter().enumerate() {
            let directory = RelativePath::parse(&components.join("/")).unwrap();
            let scope = [SharedDirectory::Forbid, SharedDirectory::Namespace, SharedDirectory::Cluster][usize::from(scope)];
            let volume = format!("pvc-{at}");
            let claim = PersistentVolumeClaim {
                metadata: ObjectMeta {
                    namespace: Some(namespace.to_owned()),
                    name: Some(format!("claim-{at}")),
                    ..ObjectMeta::default()
                },
                ..PersistentVolumeClaim::default()
            };
            let free = had.iter().all(|(other, _, _)| !other.contains(&directory) && !directory.contains(other));
            let joins = had.iter().all(|(other, theirs, said)| {
                let apart = !other.contains(&directory) && !directory.contains(other);
                apart || (*other == directory && scope.allows(*said, *theirs == namespace))
            });
            let placed = index.reserve(&volume, &directory, |neighbours| {
                decide::placement(&directory, &claim, scope, neighbours)
            });
            prop_assert_eq!(placed.is_ok(), joins, "{:?} {:?}", directory, had);
            if let Ok(placement) = placed {
                prop_assert_eq!(placement == Placement::Free, free);
                let mut record = record(&volume, &directory);
                record.claim.namespace = namespace.to_owned();
                record.terms.sharing = scope;
                index.set(record);
                had.push((directory, namespace, scope));
            }
        }
    }
}

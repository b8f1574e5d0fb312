//! The dependency direction between the crates of this workspace, read from `cargo metadata`.
//!
//! cargo-deny sees direct dependents only; this walks the graph.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Which crates of ours each may reach through normal dependencies.
const ALLOWED: [(&str, &[&str]); 6] = [
    (
        "claimcheck",
        // It is also the provisioner of its images and the mount program of its nodes, so that one
        // file is enough to run on a machine without a source tree.
        &[
            "conformance",
            "mutants",
            "nfs-mount",
            "provisioner",
            "testbed",
        ],
    ),
    ("conformance", &["testbed"]),
    ("nfs-mount", &[]),
    ("mutants", &["provisioner"]),
    // Its image must not carry anything of the suite.
    ("provisioner", &[]),
    ("testbed", &[]),
];

/// Normal edges between packages, by name; and who depends on whom in any way.
struct Graph {
    ours: BTreeSet<String>,
    normal: BTreeMap<String, BTreeSet<String>>,
    any: BTreeMap<String, BTreeSet<(String, String)>>,
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .expect("cargo metadata writes a string here")
        .to_owned()
}

fn list(value: &Value) -> &Vec<Value> {
    value
        .as_array()
        .expect("cargo metadata writes an array here")
}

fn graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let ours = list(&metadata["workspace_members"])
        .iter()
        .map(|id| names[&text(id)].clone());
    let mut graph = Graph {
        ours: ours.collect(),
        normal: BTreeMap::new(),
        any: BTreeMap::new(),
    };
    for node in list(&metadata["resolve"]["nodes"]) {
        let name = &names[&text(&node["id"])];
        for dependency in list(&node["deps"]) {
            let other = &names[&text(&dependency["pkg"])];
            for kind in list(&dependency["dep_kinds"]) {
                let kind = kind["kind"].as_str().unwrap_or("normal");
                if kind == "normal" {
                    graph
                        .normal
                        .entry(name.clone())
                        .or_default()
                        .insert(other.clone());
                }
                let entry = (name.clone(), kind.to_owned());
                graph.any.entry(other.clone()).or_default().insert(entry);
            }
        }
    }
    graph
}

/// The shortest way from one package to another through normal dependencies.
fn way(edges: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::from([from.to_owned()]);
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in edges.get(way.last()?).into_iter().flatten() {
                let mut one = way.clone();
                one.push(next.clone());
                if next == to {
                    return Some(one);
                }
                if seen.insert(next.clone()) {
                    longer.push(one);
                }
            }
        }
        ways = longer;
    }
    None
}

/// Every forbidden way, as `a -> b -> c`.
fn forbidden(
    ours: &BTreeSet<String>,
    edges: &BTreeMap<String, BTreeSet<String>>,
    allowed: &[(&str, &[&str])],
) -> Vec<String> {
    let mut ways = Vec::new();
    for from in ours {
        let Some((_, may)) = allowed.iter().find(|(name, _)| name == from) else {
            ways.push(format!("{from} has no rule: add one to this test"));
            continue;
        };
        for to in ours
            .iter()
            .filter(|to| *to != from && !may.contains(&to.as_str()))
        {
            if let Some(way) = way(edges, from, to) {
                ways.push(way.join(" -> "));
            }
        }
    }
    ways
}

#[test]
fn our_crates_depend_on_each_other_in_one_direction() {
    let graph = graph();
    assert!(graph.ours.contains("claimcheck") && graph.ours.contains("testbed"));
    assert_eq!(
        forbidden(&graph.ours, &graph.normal, &ALLOWED),
        Vec::<String>::new()
    );
}

#[test]
fn the_export_is_served_by_our_own_server() {
    // nfs3_server answers LINK and MKNOD with PROC_UNAVAIL and hides the caller's credentials.
    assert_eq!(graph().any.get("nfs3_server"), None);
}

#[test]
fn the_test_entry_library_is_linked_by_test_entries_only() {
    let graph = graph();
    let dependents = graph.any.get("libtest-mimic").cloned().unwrap_or_default();
    assert!(!dependents.is_empty(), "nobody uses it: remove this test");
    for (dependent, kind) in dependents {
        let fine = kind == "dev" && ["conformance", "mutants"].contains(&dependent.as_str());
        assert!(fine, "{dependent} -> libtest-mimic ({kind})");
    }
}

#[test]
fn one_tls_provider_is_linked() {
    assert_eq!(graph().any.get("aws-lc-rs"), None);
}

#[test]
fn a_forbidden_way_is_found_and_named() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let ours: BTreeSet<String> = names(&["suite", "subject"]);
    let edges = BTreeMap::from([
        ("suite".to_owned(), names(&["helper", "serde"])),
        ("helper".to_owned(), names(&["subject"])),
    ]);
    let rules: [(&str, &[&str]); 2] = [("suite", &[]), ("subject", &[])];
    assert_eq!(
        forbidden(&ours, &edges, &rules),
        ["suite -> helper -> subject"]
    );
    assert_eq!(
        forbidden(&ours, &edges, &[("suite", &["subject"])]).len(),
        1
    );
}

//! The catalogue as `list` writes it.

use std::process::{Command, Stdio};

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::Place;

#[test]
fn the_table_says_what_becomes_of_each_row() {
    assert_snapshot!(Place::new().call("list").shown());
}

fn entries(arguments: &str) -> Vec<Value> {
    let call = Place::new().call(&format!("list --format json {arguments}"));
    assert_eq!(call.code(), 0, "{}", call.shown());
    serde_json::from_str(&call.stdout()).unwrap()
}

#[test]
fn every_row_of_the_catalogue_runs_or_has_a_reason_of_the_closed_set() {
    let entries = entries("");
    assert_eq!(entries.len(), conformance::catalogue::rows().count());
    let known = [
        "undeclared-feature",
        "missing-mode",
        "testbed-lacks",
        "excluded",
        "not-implemented",
    ];
    for entry in entries {
        let reason = entry["reason"].as_str();
        match entry["runs"].as_bool() {
            Some(true) => assert_eq!(reason, None, "{entry}"),
            Some(false) => assert!(
                reason.is_some_and(|reason| known.iter().any(|word| reason.starts_with(word))),
                "{entry}"
            ),
            None => panic!("no decision in {entry}"),
        }
    }
}

#[test]
fn flags_variables_and_the_file_select_alike() {
    let ids = |entries: Vec<Value>| -> Vec<String> {
        entries
            .iter()
            .filter(|entry| entry["runs"] == true)
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(entries("--only b01,R03")), ["B01", "R03"]);
    let place = Place::with("claimcheck.toml", "only = [\"B01\", \"B02\"]\n");
    let json = |call: crate::support::Call| -> Vec<Value> {
        serde_json::from_str(&call.stdout()).unwrap()
    };
    assert_eq!(ids(json(place.call("list --format json"))), ["B01", "B02"]);
    let variable = [("CLAIMCHECK_ONLY", "B03")];
    assert_eq!(
        ids(json(place.call_with("list --format json", &variable))),
        ["B03"]
    );
    assert_eq!(
        ids(json(
            place.call_with("list --format json --only B04", &variable)
        )),
        ["B04"]
    );
}

#[test]
fn a_case_of_no_local_mode_is_skipped_for_that_mode() {
    let skipped_for_mode = entries("")
        .iter()
        .filter(|entry| {
            entry["reason"]
                .as_str()
                .is_some_and(|r| r.starts_with("missing-mode"))
        })
        .all(|entry| {
            let mode = entry["mode"].as_str().unwrap();
            mode.contains("nd") || mode.contains("fi")
        });
    assert!(skipped_for_mode);
}

#[test]
fn the_page_has_a_line_for_each_row() {
    let call = Place::new().call("list --format markdown");
    let page = call.stdout();
    for row in conformance::catalogue::rows() {
        let start = format!("| {} | {} |", row.id, row.name);
        assert!(
            page.lines().any(|line| line.starts_with(&start)),
            "{} is missing",
            row.id
        );
    }
    // No cell may break its table.
    let columns: std::collections::BTreeSet<usize> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.replace("\\|", "").matches('|').count())
        .collect();
    assert_eq!(columns.into_iter().collect::<Vec<_>>(), [10]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_claimcheck"))
        .args(["list", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

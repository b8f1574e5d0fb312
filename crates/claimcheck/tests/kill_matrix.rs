//! The kill matrix: every faulty variant of the reference is caught by the case named for it, and by
//! nothing unrelated. It boots a control plane for each of them: minutes, not seconds.

use std::process::Command;

#[test]
fn every_mutant_is_killed_by_the_case_named_for_it_and_by_nothing_unrelated() {
    let report = concat!(env!("CARGO_TARGET_TMPDIR"), "/mutants");
    let status = Command::new(env!("CARGO_BIN_EXE_claimcheck"))
        .args(["mutants", "--report-dir", report])
        .status()
        .expect("claimcheck runs");
    let text = fs_err::read_to_string(format!("{report}/mutants.json")).expect("a report is left");
    let matrix: serde_json::Value = serde_json::from_str(&text).expect("the report is JSON");
    assert!(
        matrix["total"].as_u64().is_some_and(|total| total >= 10),
        "{text}"
    );
    assert_eq!(matrix["killed"], matrix["total"], "{text}");
    for mutant in matrix["mutants"].as_array().expect("there are mutants") {
        assert_eq!(mutant["unexpected"], serde_json::json!([]), "{mutant}");
    }
    assert!(status.success(), "{status}");
}

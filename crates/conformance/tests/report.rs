//! The report is public: its fields, their names and their order do not change within a version of
//! its schema. `fixtures/reports/` holds one of every outcome.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

use conformance::report::model::{Latency, ProfileResult, Report, Totals};
use conformance::report::{json, junit};

const GOLDEN: &str = include_str!("../../../fixtures/reports/report-v1.json");

fn golden() -> Report {
    serde_json::from_str(GOLDEN).unwrap()
}

#[test]
fn a_report_of_version_1_is_read_and_written_without_a_change() {
    // A field that is missing, new, renamed or moved shows here.
    assert_eq!(json::render(&golden()).unwrap(), GOLDEN);
}

#[test]
fn the_golden_report_is_consistent_in_itself() {
    let report = golden();
    assert_eq!(Totals::of(&report.cases), report.totals);
    for profile in &report.profiles {
        assert_eq!(ProfileResult::of(&profile.name, &report.cases), *profile);
    }
    assert_eq!(
        Latency::of(vec![212, 198, 1040]).as_ref(),
        report.latency.get("claim-bound")
    );
    let charged = &report.ledger.leaks[0];
    let owner = report
        .cases
        .iter()
        .find(|case| case.id == charged.case)
        .unwrap();
    assert!(
        owner
            .failure
            .as_ref()
            .unwrap()
            .observed
            .contains(&charged.name)
    );
}

#[test]
fn junit_tells_every_outcome_apart() {
    insta::assert_snapshot!(junit::render(&golden()).unwrap());
}

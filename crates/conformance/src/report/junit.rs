//! `junit.xml`: for tools that read test results.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use super::model::CaseRecord;
use crate::outcome::Outcome;

/// The report as JUnit XML: one suite for each group, one test case for each row.
///
/// # Errors
/// When the XML cannot be written.
pub fn render(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut junit = JunitReport::new(format!("claimcheck: {}", report.subject.name));
    junit.set_time(Duration::from_millis(report.duration_ms));
    let mut suites: Vec<TestSuite> = Vec::new();
    for record in &report.cases {
        if suites
            .last()
            .is_none_or(|suite| suite.name.as_str() != record.group)
        {
            suites.push(TestSuite::new(record.group.clone()));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(test_case(record));
        }
    }
    junit.add_test_suites(suites);
    junit.to_string()
}

fn test_case(record: &CaseRecord) -> TestCase {
    let status = match record.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(record.reason.clone().unwrap_or_default());
            status
        }
        Outcome::Failed | Outcome::Flaky => unsuccessful(record, NonSuccessKind::Failure),
        Outcome::Inconclusive => unsuccessful(record, NonSuccessKind::Error),
    };
    let mut case = TestCase::new(format!("{} {}", record.id, record.name), status);
    case.set_classname(format!("claimcheck.{}", record.profile));
    case.set_time(Duration::from_millis(record.duration_ms));
    case
}

fn unsuccessful(record: &CaseRecord, kind: NonSuccessKind) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(record.outcome.to_string());
    match &record.failure {
        Some(failure) => {
            status.set_message(format!(
                "expected {}; observed {}",
                failure.expected, failure.observed
            ));
            let mut text = format!("{} ({}, {})\n", record.title, record.level, record.source);
            for piece in failure.evidence.iter().chain([&failure.rerun]) {
                text.push_str(piece);
                text.push('\n');
            }
            status.set_description(text);
        }
        None => {
            status.set_message(record.reason.clone().unwrap_or_default());
        }
    }
    status
}

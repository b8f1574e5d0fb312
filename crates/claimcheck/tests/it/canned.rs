//! A report with one case of each outcome, as a run would make it.

use std::collections::BTreeMap;

use conformance::outcome::Outcome;
use conformance::report::Report;
use conformance::report::model::{
    CaseRecord, ClusterInfo, Failure, Ledger, ProfileResult, SCHEMA, SubjectInfo, SuiteInfo,
    Timings, Totals,
};
use conformance::world::cleanup::Leak;

fn case(id: &str, outcome: Outcome) -> CaseRecord {
    let row = conformance::catalogue::row(id).unwrap();
    CaseRecord {
        id: row.id.to_owned(),
        name: row.name.to_owned(),
        title: row.title.to_owned(),
        group: conformance::catalogue::group_of(row).title.to_owned(),
        level: row.level.to_string(),
        profile: row.profile.to_string(),
        mode: row.mode.to_string(),
        source: row.source.to_owned(),
        outcome,
        reason: None,
        duration_ms: 212,
        failure: None,
        timeline: Vec::new(),
    }
}

fn skipped(id: &str, reason: &str) -> CaseRecord {
    CaseRecord {
        reason: Some(reason.to_owned()),
        duration_ms: 0,
        ..case(id, Outcome::Skipped)
    }
}

fn failed(id: &str, outcome: Outcome) -> CaseRecord {
    CaseRecord {
        duration_ms: 30_120,
        failure: Some(Failure {
            expected: "claim data is Bound within 30 s (limit claim-bound)".to_owned(),
            observed: "persistentvolumeclaim cc-b04/data in phase Pending".to_owned(),
            evidence: vec![
                "{\n  \"kind\": \"PersistentVolumeClaim\"\n}".to_owned(),
                "event: Warning ProvisioningFailed: no such export".to_owned(),
                "event: Warning ProvisioningFailed: no such export".to_owned(),
            ],
            rerun: format!("claimcheck run --subject reference --only {id} --keep always"),
        }),
        ..case(id, outcome)
    }
}

/// A report whose every case has one of `cases`.
fn report(cases: Vec<CaseRecord>, leaks: Vec<Leak>) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        suite: SuiteInfo {
            version: "0.1.0".to_owned(),
            catalogue_sha256: "0".repeat(64),
        },
        subject: SubjectInfo {
            name: "reference".to_owned(),
            version: Some("0.1.0".to_owned()),
            provisioner: "westos.org/nfs".to_owned(),
            digest: "0".repeat(64),
        },
        cluster: ClusterInfo {
            kind: "local".to_owned(),
            kubernetes: "v1.36.3".to_owned(),
            modes: vec!["cp".to_owned(), "dn".to_owned()],
        },
        started: "2026-01-01T00:00:00Z".to_owned(),
        duration_ms: 45_678,
        timings: Timings {
            tools_ms: 12,
            boot_ms: 3_900,
            deploy_ms: 170,
            cases_ms: 41_200,
        },
        profiles: ["core", "subdir"]
            .map(|name| ProfileResult::of(name, &cases))
            .to_vec(),
        totals: Totals::of(&cases),
        cases,
        latency: BTreeMap::new(),
        ledger: Ledger { leaks },
    }
}

/// One case of each outcome.
pub(crate) fn mixed() -> Report {
    report(
        vec![
            case("B01", Outcome::Passed),
            case("B02", Outcome::Passed),
            CaseRecord {
                reason: Some("an API call of the suite failed: connection refused".to_owned()),
                ..case("B03", Outcome::Inconclusive)
            },
            failed("B04", Outcome::Failed),
            failed("B05", Outcome::Flaky),
            skipped("B12", "not-implemented"),
            skipped("B14", "not-implemented"),
            skipped("B17", "missing-mode: cp+fi"),
            case("N01", Outcome::Passed),
        ],
        vec![Leak {
            kind: "directory".to_owned(),
            name: "default-data-pvc-1".to_owned(),
            case: "B04".to_owned(),
        }],
    )
}

/// Nothing but passes.
pub(crate) fn good() -> Report {
    report(
        vec![case("B01", Outcome::Passed), case("N01", Outcome::Passed)],
        Vec::new(),
    )
}

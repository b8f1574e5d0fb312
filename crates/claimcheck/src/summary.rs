//! The end of a run, for a person: what was judged, what failed and why, and where the rest is.
//! Human text is no interface; the reports are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use conformance::outcome::Outcome;
use conformance::report::Report;
use conformance::report::model::{CaseRecord, ProfileVerdict, Totals};

use crate::bed::{millis, seconds};
use crate::live::painted;
use crate::printer::Paint;
use crate::table::{aligned, header};

/// Pieces of evidence that are shown of one failure.
const EVIDENCE_SHOWN: usize = 4;

/// What the report does not hold.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the reports are, as the user named it.
    pub report_directory: Utf8PathBuf,
    /// Ids of the cases whose surroundings were captured.
    pub captured: BTreeSet<String>,
    /// From the start of the boot to the first case; `None` when nothing was booted.
    pub boot_to_first_case: Option<Duration>,
    /// What happened to the testbed or the subject meanwhile.
    pub warnings: Vec<String>,
    /// The testbed that the run attached to.
    pub attached: Option<String>,
    /// Whether a signal cut the run short.
    pub interrupted: bool,
    /// Whether every skipped row is listed, not only counted.
    pub every_skip: bool,
}

/// Writing to a `String` does not fail.
macro_rules! line {
    ($text:expr) => { $text.push('\n') };
    ($text:expr, $($format:tt)+) => { let _ = writeln!($text, $($format)+); };
}

/// The summary. Its last line is `N passed, N failed, N skipped`, alone.
pub fn render(report: &Report, facts: &Facts, paint: Paint) -> String {
    let mut text = String::new();
    about(&mut text, report, facts);
    cases(&mut text, report, paint);
    skipped(&mut text, report, facts);
    troubles(&mut text, report, facts, paint);
    leaks(&mut text, report);
    for warning in &facts.warnings {
        line!(
            text,
            "\n{} {}",
            paint.doubtful("warning:"),
            warning.trim_end()
        );
    }
    profiles(&mut text, report, paint);
    end(&mut text, report, facts);
    text
}

fn about(text: &mut String, report: &Report, facts: &Facts) {
    let subject = &report.subject;
    let version = subject
        .version
        .as_ref()
        .map_or(String::new(), |version| format!(" {version}"));
    let cluster = &report.cluster;
    let attached = facts
        .attached
        .as_ref()
        .map_or(String::new(), |name| format!(", testbed `{name}`"));
    line!(text);
    line!(
        text,
        "subject  {}{version}, provisioner {}",
        subject.name,
        subject.provisioner
    );
    line!(
        text,
        "cluster  {}, kubernetes {}, modes {}{attached}",
        cluster.kind,
        cluster.kubernetes,
        cluster.modes.join(" ")
    );
}

/// The table of what was judged.
fn cases(text: &mut String, report: &Report, paint: Paint) {
    let judged: Vec<&CaseRecord> = report
        .cases
        .iter()
        .filter(|record| record.outcome != Outcome::Skipped)
        .collect();
    if judged.is_empty() {
        return;
    }
    let mut rows = vec![header(["ID", "CASE", "LEVEL", "    TIME", "OUTCOME"])];
    rows.extend(judged.iter().map(|record| {
        [
            record.id.clone(),
            record.name.clone(),
            record.level.clone(),
            format!("{:>8}", seconds(record.duration_ms)),
            record.outcome.to_string(),
        ]
    }));
    line!(text);
    let lines = aligned(&rows);
    line!(text, "{}", paint.strong(&lines[0]));
    for (record, row) in judged.iter().zip(&lines[1..]) {
        // The outcome stands last, so that colour codes shift no column.
        let outcome = record.outcome.to_string();
        let rest = row.strip_suffix(&outcome).unwrap_or(row);
        line!(text, "{rest}{}", painted(record.outcome, &outcome, paint));
    }
}

/// Skipped rows: by reason with counts, or each of them.
fn skipped(text: &mut String, report: &Report, facts: &Facts) {
    let skipped: Vec<&CaseRecord> = report
        .cases
        .iter()
        .filter(|record| record.outcome == Outcome::Skipped)
        .collect();
    if skipped.is_empty() {
        return;
    }
    line!(text);
    if facts.every_skip {
        line!(text, "skipped");
        let rows: Vec<_> = skipped
            .iter()
            .map(|record| {
                [
                    format!("  {}", record.id),
                    record.name.clone(),
                    reason(record),
                ]
            })
            .collect();
        for row in aligned(&rows) {
            line!(text, "{row}");
        }
        return;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in skipped {
        *counts.entry(reason(record)).or_default() += 1;
    }
    line!(text, "skipped, by reason; `-v` lists each");
    for (reason, count) in counts {
        line!(text, "{count:>5}  {reason}");
    }
}

fn reason(record: &CaseRecord) -> String {
    record
        .reason
        .clone()
        .unwrap_or_else(|| "no reason given".to_owned())
}

/// Each case that failed: the rule, what was expected and observed, and how to look closer. Cases
/// without a verdict stand together by their cause, which is often one for all.
fn troubles(text: &mut String, report: &Report, facts: &Facts, paint: Paint) {
    let mut causes: Vec<(String, Vec<&CaseRecord>)> = Vec::new();
    for record in &report.cases {
        match record.outcome {
            Outcome::Passed | Outcome::Skipped => {}
            Outcome::Failed | Outcome::Flaky => failed(text, record, facts, paint),
            Outcome::Inconclusive => {
                let cause = reason(record);
                match causes.iter_mut().find(|(known, _)| *known == cause) {
                    Some((_, records)) => records.push(record),
                    None => causes.push((cause, vec![record])),
                }
            }
        }
    }
    for (cause, records) in causes {
        let word = paint.doubtful("inconclusive");
        line!(text);
        if let [record] = records[..] {
            heading(text, record, &word, paint);
        } else {
            let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
            line!(text, "{} cases {word}: {}", ids.len(), ids.join(" "));
        }
        line!(text, "  because   {}", indented(&cause));
        for record in records {
            capture(text, record, facts);
        }
    }
}

fn heading(text: &mut String, record: &CaseRecord, outcome: &str, paint: Paint) {
    line!(
        text,
        "{} {} {outcome}",
        paint.strong(&record.id),
        record.name
    );
    let CaseRecord {
        title,
        level,
        source,
        ..
    } = record;
    line!(text, "  rule      {title} ({level}; source {source})");
}

fn failed(text: &mut String, record: &CaseRecord, facts: &Facts, paint: Paint) {
    line!(text);
    heading(
        text,
        record,
        &painted(record.outcome, &record.outcome.to_string(), paint),
        paint,
    );
    if let Some(failure) = &record.failure {
        line!(text, "  expected  {}", indented(&failure.expected));
        line!(text, "  observed  {}", indented(&failure.observed));
        evidence(text, &failure.evidence);
    }
    capture(text, record, facts);
    if let Some(failure) = &record.failure {
        line!(text, "  rerun     {}", failure.rerun);
    }
}

/// Where the surroundings of a case were written to. What a clean-up finds is found too late for
/// one.
fn capture(text: &mut String, record: &CaseRecord, facts: &Facts) {
    if facts.captured.contains(&record.id) {
        let path = facts.report_directory.join("captures").join(&record.id);
        line!(text, "  capture   {path}");
    }
}

/// What shows a failure in one line each; whole objects are left to the report and the capture.
fn evidence(text: &mut String, pieces: &[String]) {
    let mut short: Vec<&str> = Vec::new();
    for piece in pieces.iter().map(|piece| piece.trim_end()) {
        if !piece.contains('\n') && !short.contains(&piece) {
            short.push(piece);
        }
    }
    short.truncate(EVIDENCE_SHOWN);
    for piece in &short {
        line!(text, "  evidence  {piece}");
    }
    let more = pieces.len() - short.len();
    if more > 0 {
        line!(text, "            {more} more in report.json");
    }
}

/// A text of several lines, kept in its column.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n            ")
}

fn leaks(text: &mut String, report: &Report) {
    if report.ledger.leaks.is_empty() {
        return;
    }
    line!(text);
    line!(text, "left over");
    for leak in &report.ledger.leaks {
        let case = if leak.case.is_empty() {
            "nobody's"
        } else {
            &leak.case
        };
        line!(text, "  {} {} ({case})", leak.kind, leak.name);
    }
}

fn profiles(text: &mut String, report: &Report, paint: Paint) {
    let mut rows = vec![header([
        "PROFILE",
        "PASSED",
        "FAILED",
        "SKIPPED",
        "INCONCLUSIVE",
        "VERDICT",
    ])];
    rows.extend(report.profiles.iter().map(|profile| {
        [
            profile.name.clone(),
            format!("{:>6}", profile.passed),
            format!("{:>6}", profile.failed),
            format!("{:>7}", profile.skipped),
            format!("{:>12}", profile.inconclusive),
            verdict(profile.verdict).to_owned(),
        ]
    }));
    let lines = aligned(&rows);
    line!(text);
    line!(text, "{}", paint.strong(&lines[0]));
    for (profile, row) in report.profiles.iter().zip(&lines[1..]) {
        let word = verdict(profile.verdict);
        let rest = row.strip_suffix(word).unwrap_or(row);
        let coloured = match profile.verdict {
            ProfileVerdict::Passed => paint.good(word),
            ProfileVerdict::Failed => paint.bad(word),
            ProfileVerdict::Partial => word.to_owned(),
            ProfileVerdict::Inconclusive => paint.doubtful(word),
        };
        line!(text, "{rest}{coloured}");
    }
}

const fn verdict(verdict: ProfileVerdict) -> &'static str {
    match verdict {
        ProfileVerdict::Passed => "passed",
        ProfileVerdict::Failed => "failed",
        ProfileVerdict::Partial => "partial",
        ProfileVerdict::Inconclusive => "inconclusive",
    }
}

fn end(text: &mut String, report: &Report, facts: &Facts) {
    let times = &report.timings;
    line!(text);
    let own = if facts.attached.is_none() {
        format!(
            "tools {}, boot {}, subject {}, ",
            seconds(times.tools_ms),
            seconds(times.boot_ms),
            seconds(times.deploy_ms)
        )
    } else {
        String::new()
    };
    let first = facts.boot_to_first_case.map_or(String::new(), |length| {
        format!("; boot to first case {}", seconds(millis(length)))
    });
    line!(
        text,
        "times    {own}cases {}, all {}{first}",
        seconds(times.cases_ms),
        seconds(report.duration_ms)
    );
    let directory = &facts.report_directory;
    line!(
        text,
        "reports  {} {}",
        directory.join("report.json"),
        directory.join("junit.xml")
    );
    // Every field by name, so that a new outcome is not left out of the line.
    let Totals {
        passed,
        failed,
        skipped,
        inconclusive,
        flaky,
    } = report.totals;
    line!(
        text,
        "totals   {passed} passed, {failed} failed, {flaky} flaky, {inconclusive} inconclusive, \
         {skipped} skipped"
    );
    if facts.interrupted {
        line!(text, "interrupted: what was not judged yet is inconclusive");
    }
    line!(text);
    line!(
        text,
        "{passed} passed, {} failed, {skipped} skipped",
        failed + flaky
    );
}

//! The end of a run, as a person reads it.

use std::time::Duration;

use claimcheck::Paint;
use claimcheck::summary::{Facts, render};
use insta::assert_snapshot;

use crate::canned;

fn facts() -> Facts {
    Facts {
        report_directory: "claimcheck-report".into(),
        captured: ["B03", "B04"].map(str::to_owned).into(),
        boot_to_first_case: Some(Duration::from_millis(4_120)),
        warnings: Vec::new(),
        attached: None,
        interrupted: false,
        every_skip: false,
    }
}

#[test]
fn a_run_with_every_outcome() {
    assert_snapshot!(render(&canned::mixed(), &facts(), Paint::PLAIN));
}

#[test]
fn a_good_run_on_a_testbed_that_was_up() {
    let facts = Facts {
        boot_to_first_case: None,
        attached: Some("default".to_owned()),
        ..facts()
    };
    assert_snapshot!(render(&canned::good(), &facts, Paint::PLAIN));
}

#[test]
fn every_skip_is_listed_when_asked_for() {
    let facts = Facts {
        every_skip: true,
        ..facts()
    };
    let text = render(&canned::mixed(), &facts, Paint::PLAIN);
    assert!(text.contains("\n  B12  static-pv-first"), "{text}");
    assert!(text.contains("missing-mode: cp+fi"), "{text}");
}

#[test]
fn colours_add_nothing_but_colours() {
    let plain = render(&canned::mixed(), &facts(), Paint::PLAIN);
    let coloured = render(&canned::mixed(), &facts(), Paint::COLOURED);
    assert_ne!(plain, coloured);
    let mut without = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, code)) = rest.split_once('\x1b') {
        without.push_str(before);
        rest = code.split_once('m').unwrap().1;
    }
    without.push_str(rest);
    assert_eq!(without, plain);
}

#[test]
fn the_last_line_counts_and_stands_alone() {
    let text = render(&canned::mixed(), &facts(), Paint::COLOURED);
    // A flaky case is no pass, so it counts with the failed ones.
    assert_eq!(text.lines().last(), Some("3 passed, 2 failed, 3 skipped"));
    assert!(text.ends_with("skipped\n"));
}

#[test]
fn cases_without_a_verdict_for_one_cause_are_told_once() {
    let mut report = canned::mixed();
    let mut another = report.cases[2].clone();
    another.id = "B06".to_owned();
    report.cases.push(another);
    let text = render(&report, &facts(), Paint::PLAIN);
    assert!(text.contains("\n2 cases inconclusive: B03 B06\n"), "{text}");
    assert_eq!(text.matches("connection refused").count(), 1, "{text}");
}

#[test]
fn a_subject_that_ended_by_itself_is_told_of_once_more() {
    let facts = Facts {
        warnings: vec!["subject `x` ended by itself".to_owned()],
        ..facts()
    };
    let text = render(&canned::good(), &facts, Paint::PLAIN);
    assert!(
        text.contains("\nwarning: subject `x` ended by itself\n"),
        "{text}"
    );
}

#[test]
fn an_interrupted_run_says_what_that_means() {
    let facts = Facts {
        interrupted: true,
        ..facts()
    };
    let text = render(&canned::mixed(), &facts, Paint::PLAIN);
    assert!(
        text.contains("interrupted: what was not judged yet is inconclusive"),
        "{text}"
    );
}

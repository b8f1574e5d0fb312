//! The figures for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::figures::{
    CLAIM_TO_BOUND, CLAIM_TO_VOLUME, DELETION_TO_GONE, Figures, Latency, Limiter, Ratios,
};
use super::report::{Report, unoptimised};
use super::rounds::CEILING;
use crate::printer::Paint;
use crate::table::{aligned, header};

/// Where there is nothing to tell.
const NONE: &str = "-";

/// Table, latencies, and for each subject who limits it; `file` is where the figures are in full.
pub(crate) fn render(report: &Report, file: &str, paint: Paint) -> String {
    let machine = report.machine();
    let mut text = format!(
        "{} claims at once, median of {}, kubernetes {}, {} CPUs\n\n",
        report.claims,
        rounds(report.rounds),
        report.kubernetes,
        machine.cpus
    );
    push_lines(&mut text, &aligned(&rates(report)));
    text.push('\n');
    push_lines(&mut text, &aligned(&latencies(report)));
    text.push('\n');
    for subject in &report.subjects {
        let limited = &subject.limited;
        let who = match limited.by {
            Limiter::ControllerManager => paint.good("the controller-manager is the limit"),
            Limiter::Subject => "the subject is the limit".to_owned(),
        };
        let _ = writeln!(text, "{}: {who}: {}", subject.name, limited.why);
        for line in beside(&subject.figures, report.claims) {
            let _ = writeln!(text, "{}: {line}", subject.name);
        }
        for warning in warnings(&subject.figures) {
            let _ = writeln!(text, "{}: {}", subject.name, paint.doubtful(&warning));
        }
    }
    if unoptimised() {
        let warning = "this is an unoptimised build of claimcheck: figures of its own provisioner, \
                       and of the export, are no measure";
        let _ = writeln!(text, "{}", paint.doubtful(warning));
    }
    if !report.complete {
        let cut = "cut short: these are the rounds that were finished";
        let _ = writeln!(text, "{}", paint.bad(cut));
    }
    let _ = writeln!(text, "{file}");
    text
}

fn rounds(count: usize) -> String {
    if count == 1 {
        "1 round".to_owned()
    } else {
        format!("{count} rounds")
    }
}

fn push_lines(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

fn rates(report: &Report) -> Vec<[String; 11]> {
    let mut rows = vec![header([
        "SUBJECT",
        "CREATED/S",
        "BOUND/S",
        "OF CEILING",
        "DELETED/S",
        "OF CEILING",
        "OF BOUND",
        "WRITES/CLAIM",
        "WRITES/DELETION",
        "PEAK MIB",
        "CPU S",
    ])];
    if let Some(ceiling) = &report.ceiling {
        rows.push(row(CEILING, ceiling, None));
    }
    for subject in &report.subjects {
        let ratios = report.ratios.get(&subject.name);
        rows.push(row(&subject.name, &subject.figures, ratios));
    }
    rows
}

fn row(name: &str, figures: &Figures, ratios: Option<&Ratios>) -> [String; 11] {
    let one = |value: Option<f64>| value.map_or(NONE.to_owned(), |value| format!("{value:.1}"));
    let two = |value: Option<f64>| value.map_or(NONE.to_owned(), |value| format!("{value:.2}"));
    let used = figures.used.as_ref();
    let writes = used.map(|used| &used.write_calls_per_claim);
    [
        name.to_owned(),
        one(figures.pv_created_per_s),
        one(Some(figures.bound_per_s)),
        two(ratios.and_then(|ratios| ratios.bound_of_ceiling)),
        one(Some(figures.deleted_per_s)),
        two(ratios.and_then(|ratios| ratios.deleted_of_ceiling)),
        two(ratios.map(|ratios| ratios.deleted_of_bound)),
        two(writes.map(|writes| writes.provision)),
        two(writes.map(|writes| writes.reclaim)),
        one(used.map(|used| used.peak_rss_mib)),
        one(used.map(|used| used.cpu_s)),
    ]
}

/// The phases, and what the table calls them.
const PHASES: [(&str, &str); 3] = [
    (CLAIM_TO_VOLUME, "claim to volume"),
    (CLAIM_TO_BOUND, "claim to Bound"),
    (DELETION_TO_GONE, "deletion to volume gone"),
];

fn latencies(report: &Report) -> Vec<[String; 6]> {
    let mut rows = vec![header([
        "SUBJECT", "PHASE", "P50 MS", "P95 MS", "P99 MS", "MAX MS",
    ])];
    let ceiling = report.ceiling.iter().map(|figures| (CEILING, figures));
    let subjects = report
        .subjects
        .iter()
        .map(|subject| (subject.name.as_str(), &subject.figures));
    for (name, figures) in ceiling.chain(subjects) {
        rows.extend(phases(name, "", &figures.latency));
        let rest = figures.used.as_ref().and_then(|used| used.idle.as_ref());
        if let Some(rest) = rest {
            rows.extend(phases(name, "single ", &rest.latency));
        }
    }
    rows
}

/// A row for each phase that was measured, `kind` before its title.
fn phases<'a>(
    name: &'a str,
    kind: &'a str,
    found: &'a BTreeMap<&'static str, Latency>,
) -> impl Iterator<Item = [String; 6]> + 'a {
    PHASES.into_iter().filter_map(move |(phase, title)| {
        let Latency {
            count: _,
            p50_ms,
            p95_ms,
            p99_ms,
            max_ms,
        } = found.get(phase)?;
        let [p50, p95, p99, max] =
            [p50_ms, p95_ms, p99_ms, max_ms].map(|value| format!("{value:.0}"));
        Some([
            name.to_owned(),
            format!("{kind}{title}"),
            p50,
            p95,
            p99,
            max,
        ])
    })
}

/// What was measured beside bursts.
fn beside(figures: &Figures, claims: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(used) = &figures.used else {
        return lines;
    };
    if let Some(rest) = &used.idle {
        lines.push(format!(
            "at rest {:.1} writes a second, and {:.1} to its lock",
            rest.writes_per_s, rest.lock_writes_per_s
        ));
    }
    if let Some(took) = used.restart_to_bound_ms {
        lines.push(format!(
            "started again beside {claims} volumes, a claim that waited was Bound after {:.1} s",
            took / 1000.0
        ));
    }
    lines
}

/// What a reader of the figures must know.
fn warnings(figures: &Figures) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(used) = &figures.used else {
        return warnings;
    };
    if used.left_on_export > 0.0 {
        warnings.push(format!(
            "up to {} entries were left on the export after all volumes were gone",
            used.left_on_export
        ));
    }
    if used.refused_calls > 0.0 {
        warnings.push(format!(
            "{} of its API calls were refused in a burst",
            used.refused_calls
        ));
    }
    if used.restless {
        warnings.push("it never stopped writing: calls after the count are missing".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_table_shows_medians_ratios_and_who_limits() {
        let text = render(&report(true), "out/bench.json", Paint::PLAIN);
        let line = |start: &str| {
            text.lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("no line `{start}` in {text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(text.starts_with("10 claims at once, median of 2 rounds, kubernetes v1.36.3, "));
        assert_eq!(line("ceiling "), "ceiling - 51.0 - 61.0 - - - - - -");
        assert_eq!(
            line("reference "),
            "reference 47.0 47.0 0.92 41.0 0.67 0.87 3.00 1.00 10.0 1.5"
        );
        assert_eq!(
            line("reference  claim to Bound"),
            "reference claim to Bound 15000 30000 30000 30000"
        );
        assert_eq!(
            line("reference  single claim to volume"),
            "reference single claim to volume 2000 4000 4000 4000"
        );
        assert!(text.contains("reference: the controller-manager is the limit: "));
        assert!(text.contains("reference: at rest 0.1 writes a second, and 0.2 to its lock\n"));
        assert!(text.contains(
            "reference: started again beside 10 volumes, a claim that waited was Bound after 3.0 s\n"
        ));
        assert!(text.contains("reference: up to 1 entries were left on the export"));
        assert!(!text.contains("cut short"));
        assert!(text.ends_with("out/bench.json\n"));
    }

    #[test]
    fn a_bench_that_was_cut_short_says_so() {
        let text = render(&report(false), "out/bench.json", Paint::PLAIN);
        assert!(text.contains("cut short"), "{text}");
    }
}

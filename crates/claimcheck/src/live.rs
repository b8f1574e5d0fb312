//! What a run shows while it runs: a bar in a terminal, lines elsewhere. All of it goes to standard
//! error.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use conformance::outcome::Outcome;
use conformance::report::model::{CaseRecord, Totals};
use conformance::runner::Event;
use indicatif::{ProgressBar, ProgressStyle};

use crate::bed::seconds;
use crate::printer::{Paint, Printer};

const TICK: Duration = Duration::from_millis(120);
/// Cases named on the bar.
const NAMED: usize = 8;

/// Shows a run.
pub(crate) struct Live {
    printer: Printer,
    bar: Option<ProgressBar>,
    run: Mutex<Run>,
}

#[derive(Default)]
struct Run {
    totals: Totals,
    running: Vec<&'static str>,
    first_case: Option<Instant>,
    warnings: Vec<String>,
}

impl Live {
    /// Shows on this printer; nothing is shown yet.
    pub(crate) fn new(printer: Printer) -> Self {
        let bar = printer.live.then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(style("{spinner} {elapsed:>4} {wide_msg}"));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            printer,
            bar,
            run: Mutex::default(),
        }
    }

    /// A line of news.
    pub(crate) fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(text.lines().next().unwrap_or_default().to_owned());
                bar.suspend(|| self.printer.note(text));
            }
            None => self.printer.note(text),
        }
    }

    /// News that the summary repeats.
    pub(crate) fn warn(&self, text: &str) {
        self.tell(text);
        let mut run = self.run.lock().expect("no holder panics");
        run.warnings.push(text.to_owned());
    }

    /// What was warned of so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.run.lock().expect("no holder panics").warnings.clone()
    }

    /// `total` cases begin.
    pub(crate) fn begin(&self, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(total).unwrap_or(u64::MAX));
            bar.set_style(style(
                "{spinner} {elapsed:>4} [{bar:24}] {pos}/{len} {wide_msg}",
            ));
            bar.reset_elapsed();
            bar.set_message(String::new());
        }
    }

    /// Shows what happened.
    pub(crate) fn on(&self, event: &Event) {
        let mut run = self.run.lock().expect("no holder panics");
        match event {
            Event::Started(row) => {
                run.first_case.get_or_insert_with(Instant::now);
                run.running.push(row.id);
            }
            Event::Finished(record) => {
                run.running.retain(|id| *id != record.id);
                add(&mut run.totals, record.outcome);
                if record.outcome != Outcome::Skipped {
                    self.finished(record);
                }
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_message(message(&run, self.printer.err));
        }
    }

    fn finished(&self, record: &CaseRecord) {
        let line = line(record, self.printer.err);
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                // The table at the end has those that passed.
                if record.outcome != Outcome::Passed {
                    bar.suspend(|| self.printer.note(&line));
                }
            }
            None => self.printer.note(&line),
        }
    }

    /// When the first case began.
    pub(crate) fn first_case(&self) -> Option<Instant> {
        self.run.lock().expect("no holder panics").first_case
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid")
}

fn add(totals: &mut Totals, outcome: Outcome) {
    *match outcome {
        Outcome::Passed => &mut totals.passed,
        Outcome::Failed => &mut totals.failed,
        Outcome::Skipped => &mut totals.skipped,
        Outcome::Inconclusive => &mut totals.inconclusive,
        Outcome::Flaky => &mut totals.flaky,
    } += 1;
}

/// The outcome in its colour.
pub(crate) fn painted(outcome: Outcome, text: &str, paint: Paint) -> String {
    match outcome {
        Outcome::Passed => paint.good(text),
        Outcome::Failed | Outcome::Flaky => paint.bad(text),
        Outcome::Inconclusive => paint.doubtful(text),
        Outcome::Skipped => text.to_owned(),
    }
}

fn line(record: &CaseRecord, paint: Paint) -> String {
    let outcome = painted(record.outcome, &format!("{:<12}", record.outcome), paint);
    let CaseRecord {
        id,
        name,
        duration_ms,
        ..
    } = record;
    let mut line = format!("{outcome} {id} {name} ({})", seconds(*duration_ms));
    if let Some(failure) = &record.failure {
        line.push_str(": expected ");
        line.push_str(&failure.expected);
        line.push_str("; observed ");
        line.push_str(&failure.observed);
    } else if let Some(reason) = &record.reason {
        line.push_str(": ");
        line.push_str(reason.lines().next().unwrap_or_default());
    }
    line
}

fn message(run: &Run, paint: Paint) -> String {
    let Totals {
        passed,
        failed,
        inconclusive,
        flaky,
        skipped: _,
    } = run.totals;
    let mut text = paint.good(&format!("{passed} passed"));
    for (count, word, bad) in [
        (failed, "failed", true),
        (flaky, "flaky", true),
        (inconclusive, "inconclusive", false),
    ] {
        if count > 0 {
            let word = format!("{count} {word}");
            text.push_str(", ");
            text.push_str(&if bad {
                paint.bad(&word)
            } else {
                paint.doubtful(&word)
            });
        }
    }
    if !run.running.is_empty() {
        let named: Vec<&str> = run.running.iter().take(NAMED).copied().collect();
        let more = run.running.len().saturating_sub(NAMED);
        text.push_str("; running ");
        text.push_str(&named.join(" "));
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_names_what_runs_and_counts_what_went_wrong() {
        let mut run = Run::default();
        add(&mut run.totals, Outcome::Passed);
        assert_eq!(message(&run, Paint::PLAIN), "1 passed");
        add(&mut run.totals, Outcome::Failed);
        run.running = vec!["B01", "B02"];
        assert_eq!(
            message(&run, Paint::PLAIN),
            "1 passed, 1 failed; running B01 B02"
        );
        run.running = vec!["B01"; NAMED + 2];
        assert!(message(&run, Paint::PLAIN).ends_with("and 2 more"));
    }
}

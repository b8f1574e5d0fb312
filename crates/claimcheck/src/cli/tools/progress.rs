//! Shows how tools are fetched: bars in a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressStyle};
use testbed::tools::{Progress, Stage, ToolEvent};

/// In a log, a line about the same work comes at most so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

const TICK: Duration = Duration::from_millis(120);

/// Shows events on standard error; standard output is for data.
#[derive(Debug)]
pub struct ToolProgress(Mutex<Shown>);

#[derive(Debug)]
enum Shown {
    Bars {
        multi: MultiProgress,
        bars: BTreeMap<String, ProgressBar>,
    },
    /// When each tool was last spoken of.
    Lines(BTreeMap<String, Instant>),
}

impl ToolProgress {
    /// Bars when standard error is a terminal, lines otherwise.
    pub fn stderr() -> Self {
        Self(Mutex::new(if std::io::stderr().is_terminal() {
            Shown::Bars {
                multi: MultiProgress::new(),
                bars: BTreeMap::new(),
            }
        } else {
            Shown::Lines(BTreeMap::new())
        }))
    }
}

impl Progress for ToolProgress {
    fn on(&self, name: &str, event: ToolEvent) {
        // A panic elsewhere leaves nothing half-changed that matters for a display.
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *shown {
            Shown::Bars { multi, bars } => {
                let bar = bars.entry(name.to_owned()).or_insert_with(|| {
                    let bar = multi.add(ProgressBar::new_spinner());
                    bar.set_prefix(name.to_owned());
                    bar.set_style(style("{prefix:24} {spinner} {elapsed:>4} {wide_msg}"));
                    bar.enable_steady_tick(TICK);
                    bar
                });
                draw(multi, bar, name, event);
            }
            Shown::Lines(spoken) => {
                let now = Instant::now();
                let quiet = spoken
                    .get(name)
                    .is_some_and(|last| now.duration_since(*last) < LINE_EVERY);
                if let Some(text) = line(&event, quiet) {
                    spoken.insert(name.to_owned(), now);
                    // Whoever closed standard error does not want to know.
                    let _ = writeln!(std::io::stderr(), "{name}: {text}");
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid")
}

fn draw(multi: &MultiProgress, bar: &ProgressBar, name: &str, event: ToolEvent) {
    match event {
        ToolEvent::Started { stage, detail } => {
            bar.set_style(style("{prefix:24} {spinner} {elapsed:>4} {wide_msg}"));
            bar.reset_elapsed();
            bar.set_message(format!("{} {detail}", doing(stage)));
        }
        ToolEvent::Bytes { done, total } => {
            if let Some(total) = total {
                bar.set_length(total);
                bar.set_style(style(
                    "{prefix:24} [{wide_bar}] {decimal_bytes}/{decimal_total_bytes}",
                ));
            }
            bar.set_position(done);
            if total.is_none() {
                bar.set_message(DecimalBytes(done).to_string());
            }
        }
        ToolEvent::StillAt { stage, line, .. } => {
            if let Some(line) = line {
                bar.set_message(format!("{} {line}", doing(stage)));
            }
        }
        ToolEvent::Warning(text) => {
            // Fails only when the terminal is gone.
            let _ = multi.println(format!("{name}: {text}"));
        }
        ToolEvent::Finished { origin, elapsed } => {
            bar.set_style(style("{prefix:24} {msg}"));
            bar.finish_with_message(format!("{} ({})", origin.name(), seconds(elapsed)));
        }
    }
}

/// The line about an event, if it deserves one. `quiet`: the tool was spoken of a moment ago.
fn line(event: &ToolEvent, quiet: bool) -> Option<String> {
    match event {
        ToolEvent::Started { stage, detail } => Some(format!("{} {detail}", doing(*stage))),
        ToolEvent::Bytes { .. } | ToolEvent::StillAt { .. } if quiet => None,
        ToolEvent::Bytes { done, total } => {
            let total =
                total.map_or_else(String::new, |total| format!(" of {}", DecimalBytes(total)));
            Some(format!("{}{total}", DecimalBytes(*done)))
        }
        ToolEvent::StillAt { stage, elapsed, .. } => Some(format!(
            "still {} after {}",
            doing(*stage),
            seconds(*elapsed)
        )),
        ToolEvent::Warning(text) => Some(text.clone()),
        ToolEvent::Finished { origin, elapsed } => Some(format!(
            "there by {} after {}",
            origin.name(),
            seconds(*elapsed)
        )),
    }
}

const fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Waiting => "waiting:",
        Stage::Download => "downloading",
        Stage::Unpack => "unpacking",
        Stage::Build => "building",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::tools::Origin;

    #[test]
    fn a_log_hears_of_what_matters_and_of_the_rest_now_and_then() {
        let bytes = ToolEvent::Bytes {
            done: 1_500_000,
            total: Some(3_000_000),
        };
        assert_eq!(line(&bytes, true), None);
        assert_eq!(line(&bytes, false).as_deref(), Some("1.50 MB of 3.00 MB"));
        let finished = ToolEvent::Finished {
            origin: Origin::Build,
            elapsed: Duration::from_millis(22_340),
        };
        assert_eq!(
            line(&finished, true).as_deref(),
            Some("there by build after 22.3 s")
        );
        let still = ToolEvent::StillAt {
            stage: Stage::Build,
            elapsed: Duration::from_secs(30),
            line: None,
        };
        assert_eq!(
            line(&still, false).as_deref(),
            Some("still building after 30.0 s")
        );
    }
}

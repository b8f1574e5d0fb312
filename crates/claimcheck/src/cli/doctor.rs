//! `claimcheck doctor`: what this machine can run, what is missing for the rest, and what mends it.

use std::fmt::Write as _;

use testbed::doctor::{Check, Diagnosis, Verdict, WayState, gather, judge};
use testbed::images::Images;
use testbed::kind::ClusterKind;

use super::arguments::LogFlags;
use super::tools::ToolSources;
use crate::exit::{Cause, Ended};
use crate::failure::{Failure, tool_failure};
use crate::options::{self, OptionLayers};
use crate::printer::{Paint, Printer};
use crate::table::{aligned, header};

/// What `doctor` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Look only at what this kind of cluster needs: `local` or `kind`. Without it everything is
    /// looked at, and `local` decides the exit code
    #[arg(long, value_name = "KIND")]
    cluster: Option<ClusterKind>,
    /// Ask also whether downloads and the registry of images are reached
    #[arg(long)]
    online: bool,
    /// Write the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Writes the diagnosis to standard output. It ends well when what was asked for can run.
///
/// # Errors
/// The options or the cache of tools cannot be read, or standard output cannot be written.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args {
        cluster,
        online,
        json,
        log: _,
    } = args;
    let layers = OptionLayers::read()?;
    let tools = options::tools(&layers, ToolSources::default())?;
    // Nothing is pulled or built, so there is nothing to tell of.
    let images = Images::from_env(&tools.cache, &|_| {}).map_err(Failure::usage)?;
    let facts = gather(&tools, &images, online)
        .await
        .map_err(tool_failure)?;
    let diagnosis = judge(&facts);
    let runs = diagnosis.runs(cluster.unwrap_or_default());
    let diagnosis = match cluster {
        Some(kind) => diagnosis.about(kind),
        None => diagnosis,
    };
    let text = if json {
        serde_json::to_string_pretty(&diagnosis).map_err(Failure::defect)? + "\n"
    } else {
        render(&diagnosis, printer.out)
    };
    printer.data(&text)?;
    Ok(if runs {
        Ended::Done
    } else {
        Ended::Failed(Cause::Testbed)
    })
}

/// The diagnosis for people: a line for each check, below it what mends it, and at the end what can
/// be run.
pub fn render(diagnosis: &Diagnosis, paint: Paint) -> String {
    let rows: Vec<[String; 4]> = std::iter::once(header(["WHAT", "FOUND", "NEEDED", "VERDICT"]))
        .chain(diagnosis.checks.iter().map(|check| {
            [
                check.what.to_owned(),
                check.found.clone(),
                check.needed.clone(),
                check.verdict.name().to_owned(),
            ]
        }))
        .collect();
    let lines = aligned(&rows);
    let mut text = format!("{}\n", lines[0]);
    for (line, check) in lines[1..].iter().zip(&diagnosis.checks) {
        let name = check.verdict.name();
        // It is the last of the line.
        let rest = line.strip_suffix(name).unwrap_or(line);
        let _ = writeln!(text, "{rest}{}", painted(check.verdict, name, paint));
        if let (Some(mend), false) = (&check.mend, check.verdict == Verdict::Ok) {
            let _ = writeln!(text, "  {} {mend}", paint.strong("mend:"));
        }
    }
    text.push('\n');
    let width = diagnosis
        .ways
        .iter()
        .map(|state| state.way.title().chars().count())
        .max()
        .unwrap_or_default();
    for state in &diagnosis.ways {
        let _ = writeln!(
            text,
            "{:<width$}  {}",
            state.way.title(),
            answer(state, &diagnosis.checks, paint)
        );
    }
    text
}

fn painted(verdict: Verdict, text: &str, paint: Paint) -> String {
    match verdict {
        Verdict::Ok => paint.good(text),
        Verdict::Warning => paint.doubtful(text),
        Verdict::Missing => paint.bad(text),
    }
}

/// Whether it runs, and if not, for want of what.
fn answer(state: &WayState, checks: &[Check], paint: Paint) -> String {
    let names = |ids: &[&str]| -> String {
        let names: Vec<&str> = checks
            .iter()
            .filter(|check| ids.contains(&check.id))
            .map(|check| check.what)
            .collect();
        names.join(", ")
    };
    if !state.runs {
        format!("{}: {}", paint.bad("no"), names(&state.missing))
    } else if state.warnings.is_empty() {
        paint.good("yes")
    } else {
        format!(
            "{}, but see: {}",
            paint.doubtful("yes"),
            names(&state.warnings)
        )
    }
}

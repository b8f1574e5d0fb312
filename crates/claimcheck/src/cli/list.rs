//! `claimcheck list`: the catalogue, with what becomes of each row in a run.

use std::fmt::Write as _;

use clap::ValueEnum;
use conformance::catalogue::{GROUPS, Row, group_of};
use conformance::selection::{Planned, plan};
use serde::Serialize;

use super::arguments::{LogFlags, SelectionFlags, SubjectFlags};
use super::sweep;
use crate::exit::Ended;
use crate::failure::Failure;
use crate::options::{self, OptionLayers};
use crate::printer::Printer;
use crate::table::{aligned, header};

/// What `list` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: SubjectFlags,
    #[command(flatten)]
    selection: SelectionFlags,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// A page for people
    Markdown,
    /// For programs
    Json,
}

/// One row, for programs.
#[derive(Debug, Serialize)]
struct Entry {
    id: &'static str,
    name: &'static str,
    title: &'static str,
    group: &'static str,
    source: &'static str,
    level: String,
    profile: String,
    mode: String,
    needs: Vec<String>,
    runs: bool,
    reason: Option<String>,
}

/// Writes the list.
///
/// # Errors
/// A mistake in the options or the subject file, or standard output cannot be written.
pub(crate) fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args {
        subject,
        selection,
        format,
        log: _,
    } = args;
    let layers = OptionLayers::read()?;
    let (subject, cluster) = options::subject(&layers, subject)?;
    let selection = options::selection(&layers, selection)?;
    sweep::quietly(printer);
    let planned = plan(&selection, &subject.declared, &cluster.modes());
    let text = match format {
        Format::Table => table(&planned),
        Format::Markdown => markdown(&planned),
        Format::Json => {
            let entries: Vec<Entry> = planned.iter().map(entry).collect();
            serde_json::to_string_pretty(&entries).map_err(Failure::defect)? + "\n"
        }
    };
    printer.data(&text)?;
    Ok(Ended::Done)
}

/// What a row needs of the subject, as the catalogue writes it.
pub(super) fn needs(row: &Row) -> String {
    row.needs
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn decision(planned: &Planned) -> String {
    match &planned.decision {
        Ok(_) => "runs".to_owned(),
        Err(reason) => reason.to_string(),
    }
}

fn table(planned: &[Planned]) -> String {
    let rows: Vec<_> = std::iter::once(header([
        "ID", "CASE", "LEVEL", "PROFILE", "MODE", "DECISION",
    ]))
    .chain(planned.iter().map(|planned| {
        let row = planned.row;
        [
            row.id.to_owned(),
            row.name.to_owned(),
            row.level.to_string(),
            row.profile.to_string(),
            row.mode.to_string(),
            decision(planned),
        ]
    }))
    .collect();
    let run = planned
        .iter()
        .filter(|planned| planned.decision.is_ok())
        .count();
    let mut text = aligned(&rows).join("\n");
    let _ = writeln!(text, "\n\n{run} run, {} skipped", planned.len() - run);
    text
}

fn markdown(planned: &[Planned]) -> String {
    let mut text = "# The catalogue\n".to_owned();
    for group in GROUPS {
        let rows: Vec<_> = planned
            .iter()
            .filter(|planned| group_of(planned.row).letter == group.letter)
            .collect();
        let _ = write!(
            text,
            "\n## {}: {}\n\n| id | case | rule | source | level | profile | mode | needs | decision |\n\
             |---|---|---|---|---|---|---|---|---|\n",
            group.letter, group.title
        );
        for planned in rows {
            let row = planned.row;
            let cells = [
                row.id,
                row.name,
                row.title,
                row.source,
                &row.level.to_string(),
                &row.profile.to_string(),
                &row.mode.to_string(),
                &needs(row),
                &decision(planned),
            ]
            .map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    text
}

fn entry(planned: &Planned) -> Entry {
    let row = planned.row;
    Entry {
        id: row.id,
        name: row.name,
        title: row.title,
        group: group_of(row).title,
        source: row.source,
        level: row.level.to_string(),
        profile: row.profile.to_string(),
        mode: row.mode.to_string(),
        needs: row.needs.iter().map(ToString::to_string).collect(),
        runs: planned.decision.is_ok(),
        reason: planned.decision.as_ref().err().map(ToString::to_string),
    }
}

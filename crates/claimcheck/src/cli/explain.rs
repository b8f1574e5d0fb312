//! `claimcheck explain`: one row of the catalogue in full.

use std::fmt::Write as _;

use conformance::case::Serial;
use conformance::catalogue::{Needs, Row, group_of, row, sources};
use conformance::limits::Limit;
use conformance::selection::{Selection, plan};

use super::arguments::{LogFlags, SubjectFlags};
use super::sweep;
use crate::exit::Ended;
use crate::failure::Failure;
use crate::options::{self, ChosenSubject, OptionLayers};
use crate::printer::Printer;
use crate::table::aligned;

/// What `explain` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Id or name of a case
    case: String,
    #[command(flatten)]
    subject: SubjectFlags,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// What a part of a mode stands for.
const MODES: [(&str, &str); 4] = [
    ("cp", "a control plane"),
    ("dn", "cluster DNS"),
    ("nd", "real nodes"),
    ("fi", "fault injection"),
];

/// Writes the explanation.
///
/// # Errors
/// A case that does not exist, a mistake in the options, or standard output cannot be written.
pub(crate) fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args {
        case,
        subject,
        log: _,
    } = args;
    let layers = OptionLayers::read()?;
    let id = options::case(&case, "CASE")?;
    let (subject, cluster) = options::subject(&layers, subject)?;
    sweep::quietly(printer);
    let row = row(id).ok_or_else(|| Failure::defect(anyhow::anyhow!("row {id} is away")))?;
    printer.data(&explained(row, &subject, &cluster.modes()))?;
    Ok(Ended::Done)
}

fn explained(row: &'static Row, subject: &ChosenSubject, modes: &[String]) -> String {
    let case = conformance::cases::case(row.id);
    let decision = plan(&Selection::default(), &subject.declared, modes)
        .into_iter()
        .find(|planned| planned.row.id == row.id)
        .map(|planned| planned.decision);
    let decision = match decision {
        Some(Ok(_)) => "runs".to_owned(),
        Some(Err(reason)) => format!("skipped, {reason}"),
        None => "none".to_owned(),
    };
    let fields = [
        ["rule".to_owned(), row.title.to_owned()],
        ["source".to_owned(), row.source.to_owned()],
        ["group".to_owned(), group_of(row).title.to_owned()],
        ["level".to_owned(), row.level.to_string()],
        ["profile".to_owned(), row.profile.to_string()],
        ["mode".to_owned(), mode(&row.mode.to_string())],
        ["needs".to_owned(), needs(row)],
        [
            "case".to_owned(),
            case.map_or("not implemented yet", |case| beside(case.serial))
                .to_owned(),
        ],
        [format!("with {}", subject.file.name), decision],
    ];
    let mut text = format!("{} {}\n\n", row.id, row.name);
    for line in aligned(&fields) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("\nsources\n");
    let sources: Vec<_> = sources::spelled(row.source)
        .into_iter()
        .map(|(short, long)| [format!("  {short}"), long.to_owned()])
        .collect();
    for line in aligned(&sources) {
        let _ = writeln!(text, "{line}");
    }
    text.push_str("\nlimits of waits, which a subject file may change\n");
    let limits: Vec<_> = Limit::ALL
        .iter()
        .map(|(limit, name, _, reason)| {
            let length = subject.declared.limits.of(*limit);
            [
                format!("  {name}"),
                format!("{} s", length.as_secs_f64()),
                (*reason).to_owned(),
            ]
        })
        .collect();
    for line in aligned(&limits) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// A mode with what its parts stand for: `cp+fi (a control plane and fault injection)`.
fn mode(text: &str) -> String {
    let mut words = text.replace('+', " and ").replace('/', " or ");
    for (short, long) in MODES {
        words = words.replace(short, long);
    }
    format!("{text} ({words})")
}

fn needs(row: &Row) -> String {
    if row.needs.is_empty() {
        return "nothing that a subject declares".to_owned();
    }
    row.needs
        .iter()
        .map(|needs| match needs {
            Needs::Declared(feature) => format!("a subject that declares {feature}"),
            Needs::Undeclared(feature) => format!("a subject that does not declare {feature}"),
        })
        .collect::<Vec<_>>()
        .join(" and ")
}

const fn beside(serial: Serial) -> &'static str {
    match serial {
        Serial::No => "runs beside any other",
        Serial::Group(_) => "takes turns with the cases of its group",
        Serial::Exclusive => "runs alone: it changes what is global",
    }
}

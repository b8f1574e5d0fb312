//! `claimcheck mutants`: tests the suite itself. Each faulty variant of the reference is judged on a
//! testbed of its own; the case named for it must fail, and nothing unrelated may.

use std::ffi::OsString;
use std::time::Instant;

use ::mutants::{MUTANTS, Mutant};
use ::provisioner::cli::ProvisionerArgs;
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Parser, Subcommand};
use conformance::outcome::Outcome;
use conformance::report::model::CaseRecord;
use conformance::runner::{self, Keep, RunOptions};
use conformance::selection::{Selection, plan};
use conformance::subject::Subject as Declared;
use conformance::world::Ground;
use testbed::artifacts::{Home, fresh_logs};
use testbed::kind::ClusterKind;
use testbed::subject::{Start, Subject};
use tokio::sync::{mpsc, watch};

use super::arguments::LogFlags;
use super::sweep;
use super::tools::ToolSources;
use crate::bed::{self, Bed, BedOptions, Parts};
use crate::exit::{Cause, Ended};
use crate::failure::Failure;
use crate::kill::{self, Matrix, Verdict};
use crate::options::{self, ClusterChoice, OptionLayers, suggested};
use crate::printer::Printer;
use crate::report_files::write_at_once;
use crate::signals::Interrupts;
use crate::table::{aligned, header};

/// What `mutants` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// Only these mutants, separated by commas
    #[arg(long, value_name = "MUTANT,...", value_delimiter = ',')]
    only: Vec<String>,
    /// The subject they are variants of: `reference` or `reference-mount`
    #[arg(long, value_name = "NAME", default_value = "reference")]
    subject: String,
    /// Try each with every case, not only with its target, kin, group and a witness of each other
    #[arg(long)]
    all_cases: bool,
    /// List them and what they do wrong
    #[arg(long)]
    list: bool,
    /// Where `mutants.json`, captures and logs go
    #[arg(long, value_name = "DIR", default_value = "claimcheck-report/mutants")]
    report_dir: Utf8PathBuf,
    #[command(flatten)]
    tools: ToolSources,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Be a mutant: the reference provisioner with one defect
    #[command(hide = true)]
    Serve {
        /// Its name
        mutant: String,
        /// The provisioner's arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// The provisioner's own definition, for arguments that follow a mutant's name.
#[derive(Debug, Parser)]
struct Provisioner {
    #[command(flatten)]
    arguments: ProvisionerArgs,
}

impl Command {
    /// The provisioner's arguments.
    pub(super) fn provisioner(&self) -> Result<ProvisionerArgs, Failure> {
        let Self::Serve { arguments, .. } = self;
        let words = [OsString::from("provisioner")]
            .into_iter()
            .chain(arguments.iter().cloned());
        let parsed = Provisioner::try_parse_from(words).map_err(Failure::usage)?;
        Ok(parsed.arguments)
    }
}

/// Judges mutants, or is one.
///
/// # Errors
/// An unknown mutant, or a testbed that does not come up.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    if let Some(command) = args.command {
        let arguments = command.provisioner()?;
        let Command::Serve { mutant, .. } = command;
        let wrap = named(&mutant)?.wrap;
        return Ok(super::provisioner::ended(
            ::provisioner::cli::run_with(arguments, wrap).await,
        ));
    }
    let chosen = match args.only.as_slice() {
        [] => MUTANTS.iter().collect(),
        names => names
            .iter()
            .map(|name| named(name))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if args.list {
        printer.data(&listed(&chosen))?;
        return Ok(Ended::Done);
    }
    let home = Home::from_environment()?;
    sweep::dead(&home, printer)?;
    let layers = OptionLayers::read()?;
    let options = options::tools(&layers, args.tools)?;
    let subject = Subject::open(&args.subject).map_err(Failure::usage)?;
    subject
        .runs_on(ClusterKind::Local)
        .map_err(Failure::usage)?;
    let interrupts = Interrupts::listen()?;
    let told = |text: &str| printer.note(text);
    let parts = tokio::select! {
        found = Parts::find(&ClusterChoice::Local, &subject, &options, &told) => found?,
        () = interrupts.first.cancelled() => return Err(Failure::interrupted()),
    };
    let report = options::absolute(&args.report_dir)?;
    let hunt = Hunt {
        home,
        parts,
        report,
        subject,
        all_cases: args.all_cases,
        interrupts,
        printer,
    };
    hunt.control(&chosen).await?;
    let matrix = hunt.all(&chosen).await?;
    printer.data(&rendered(&matrix, &args.report_dir))?;
    Ok(if matrix.is_clean() {
        Ended::Done
    } else {
        Ended::Failed(Cause::MutantSurvived)
    })
}

fn named(name: &str) -> Result<&'static Mutant, Failure> {
    ::mutants::mutant(name).ok_or_else(|| {
        let names: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        let text = format!("unknown mutant `{name}`; there are {}", names.join(", "));
        suggested(Failure::wrong(text), name, &names)
    })
}

/// Mutants under trial.
struct Hunt<'a> {
    home: Home,
    parts: Parts,
    report: Utf8PathBuf,
    subject: Subject,
    all_cases: bool,
    interrupts: Interrupts,
    printer: &'a Printer,
}

impl Hunt<'_> {
    /// The sound reference, under the limits of mutants and with every case they are tried with: a
    /// mutant that fails where it fails as well was caught by accident.
    async fn control(&self, chosen: &[&'static Mutant]) -> Result<(), Failure> {
        let mut cases: Vec<_> = chosen
            .iter()
            .flat_map(|mutant| kill::cases(mutant))
            .collect();
        cases.sort_unstable();
        cases.dedup();
        let mut subject = self.subject.clone();
        subject.limits = kill::limits();
        let clock = Instant::now();
        let records = self.judge("sound", &subject, cases).await?;
        let failed: Vec<&str> = records
            .iter()
            .filter(|record| !matches!(record.outcome, Outcome::Passed | Outcome::Skipped))
            .map(|record| record.id.as_str())
            .collect();
        if !failed.is_empty() {
            let failed = failed.join(" ");
            return Err(Failure::testbed(anyhow::anyhow!(
                "the sound reference does not pass {failed} under the limits of mutants: no mutant \
                 can be judged"
            ))
            .hint(format!(
                "captures and logs are in {}",
                self.report.join("sound")
            )));
        }
        let seconds = clock.elapsed().as_secs_f64();
        self.printer.note(&format!(
            "sound    {} passes all of it ({seconds:.0} s)",
            self.subject.name
        ));
        Ok(())
    }

    async fn all(&self, chosen: &[&'static Mutant]) -> Result<Matrix, Failure> {
        let mut verdicts = Vec::new();
        for mutant in chosen {
            let clock = Instant::now();
            let records = self
                .judge(mutant.name, &self.mutated(mutant), kill::cases(mutant))
                .await?;
            let verdict = Verdict::of(mutant, &records);
            let word = if verdict.killed { "killed" } else { "SURVIVED" };
            let judged = records
                .iter()
                .filter(|record| record.outcome != Outcome::Skipped)
                .count();
            self.printer.note(&format!(
                "{word:<8} {} by {} ({judged} cases, {:.0} s)",
                mutant.name,
                mutant.target,
                clock.elapsed().as_secs_f64()
            ));
            verdicts.push(verdict);
        }
        let matrix = Matrix::of(verdicts);
        let text = serde_json::to_string_pretty(&matrix).map_err(Failure::defect)? + "\n";
        fs_err::create_dir_all(&self.report).map_err(Failure::usage)?;
        write_at_once(&self.report.join("mutants.json"), &text).map_err(Failure::usage)?;
        Ok(matrix)
    }

    /// Runs cases against one subject, on a testbed of its own: what it leaves behind disturbs no
    /// other.
    async fn judge(
        &self,
        label: &str,
        subject: &Subject,
        cases: Vec<&'static str>,
    ) -> Result<Vec<CaseRecord>, Failure> {
        let directory = self.report.join(label);
        let logs = directory.join("logs");
        fs_err::create_dir_all(&logs)
            .and_then(|()| fresh_logs(&logs))
            .map_err(Failure::usage)?;
        let name = format!("mutant-{}", std::process::id());
        let options = BedOptions {
            home: &self.home,
            name: &name,
            logs: &logs,
            subject,
            parts: &self.parts,
            parts_ms: 0,
        };
        let stop = self.interrupts.first.cancelled();
        let quiet = |_: &str| {};
        let bed = bed::claimed(&self.home, &name, stop, Bed::up(&options, &quiet)).await?;
        let (broken, _) = watch::channel(None);
        let records = tokio::select! {
            records = self.records(subject, cases, &bed, &broken, &directory) => records,
            never = bed.watch(&broken, &quiet) => match never {},
        };
        bed.down().await?;
        if self.interrupts.first.is_cancelled() {
            return Err(Failure::interrupted());
        }
        records
    }

    async fn records(
        &self,
        subject: &Subject,
        cases: Vec<&'static str>,
        bed: &Bed,
        broken: &watch::Sender<Option<String>>,
        directory: &Utf8Path,
    ) -> Result<Vec<CaseRecord>, Failure> {
        let declared = Declared::declared_by(subject).map_err(Failure::usage)?;
        let selection = Selection {
            only: if self.all_cases { Vec::new() } else { cases },
            ..Selection::default()
        };
        let planned = plan(&selection, &declared, &bed.state().cluster.modes);
        let ground = Ground::attach(bed.state().clone(), declared)
            .await
            .map_err(Failure::testbed)?;
        let options = RunOptions {
            parallel: 8,
            captures: directory.join("captures"),
            keep: Keep::Never,
            rerun: "claimcheck mutants".to_owned(),
            interrupted: self.interrupts.first.clone(),
            broken: broken.subscribe(),
        };
        // Only the end counts here; nobody listens to what happens on the way.
        let (events, _) = mpsc::unbounded_channel();
        Ok(runner::run(&ground, planned, &options, &events)
            .await
            .records)
    }

    /// The subject with the mutant in the place of the provisioner, under shorter limits.
    fn mutated(&self, mutant: &Mutant) -> Subject {
        let mut subject = self.subject.clone();
        subject.name = format!("{}, mutant {}", subject.name, mutant.name);
        subject.limits = kill::limits();
        if let Start::Process(start) = &mut subject.start {
            let mut command = Vec::new();
            for word in std::mem::take(&mut start.command) {
                if word == "provisioner" {
                    command.extend(["mutants", "serve", mutant.name].map(str::to_owned));
                } else {
                    command.push(word);
                }
            }
            start.command = command;
        }
        subject
    }
}

fn listed(mutants: &[&Mutant]) -> String {
    let mut rows = vec![header(["MUTANT", "CASE", "DEFECT"])];
    for mutant in mutants {
        rows.push([mutant.name, mutant.target, mutant.defect].map(str::to_owned));
    }
    aligned(&rows).join("\n") + "\n"
}

fn rendered(matrix: &Matrix, report: &Utf8Path) -> String {
    let mut rows = vec![header([
        "MUTANT",
        "CASE",
        "VERDICT",
        "CAUGHT BY",
        "UNEXPECTED",
    ])];
    for verdict in &matrix.mutants {
        rows.push([
            verdict.name.clone(),
            verdict.target.clone(),
            if verdict.killed { "killed" } else { "SURVIVED" }.to_owned(),
            verdict.killers.join(" "),
            verdict.unexpected.join(" "),
        ]);
    }
    let Matrix { total, killed, .. } = matrix;
    format!(
        "{}\n\n{killed} of {total} mutants killed by the case named for them; {report}/mutants.json\n",
        aligned(&rows).join("\n")
    )
}

//! `claimcheck run`: tools, cluster, export, subject, cases, reports, and everything down again.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use conformance::outcome::SkipReason;
use conformance::report::Report;
use conformance::runner::{self, Finished, Keep, RunOptions};
use conformance::selection::{Planned, Selection, plan};
use conformance::suite;
use conformance::world::Ground;
use jiff::Timestamp;
use testbed::artifacts::{Home, fresh_logs};
use testbed::state::State;
use testbed::tools::ToolOptions;
use tokio::sync::{mpsc, watch};

use super::arguments::{ClusterFlags, LogFlags, SelectionFlags, SubjectFlags};
use super::sweep;
use super::tools::ToolSources;
use crate::attach::{self, Place};
use crate::bed::{self, Bed, BedOptions, Parts, millis};
use crate::exit::Ended;
use crate::failure::Failure;
use crate::live::Live;
use crate::options::{self, ChosenSubject, ClusterChoice, OptionLayers, RunSettings};
use crate::printer::Printer;
use crate::report_files::ReportFiles;
use crate::signals::Interrupts;
use crate::summary::{self, Facts};

/// What `run` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: SubjectFlags,
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    selection: SelectionFlags,
    /// The testbed: attach to it when it is up, else boot one of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many cases at once; 8 unless given
    #[arg(long, value_name = "N")]
    parallel: Option<String>,
    /// Where reports, captures and logs go; `claimcheck-report` unless given
    #[arg(long, value_name = "DIR")]
    report_dir: Option<String>,
    /// Whose objects to leave for a look: `never`, unless given; those of a `failure`; `always`
    #[arg(long, value_name = "WHEN")]
    keep: Option<String>,
    #[command(flatten)]
    tools: ToolSources,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// A run, resolved: nothing in it can be a mistake of the caller any more.
struct Order {
    subject: ChosenSubject,
    cluster: ClusterChoice,
    selection: Selection,
    settings: RunSettings,
    name: Option<String>,
    tools: ToolOptions,
    verbose: bool,
}

impl Order {
    fn of(args: Args) -> Result<Self, Failure> {
        let Args {
            subject,
            cluster,
            selection,
            name,
            parallel,
            report_dir,
            keep,
            tools,
            log,
        } = args;
        let layers = OptionLayers::read()?;
        let (subject, kind) = options::subject(&layers, subject)?;
        subject.file.runs_on(kind).map_err(Failure::usage)?;
        Ok(Self {
            subject,
            cluster: options::cluster_choice(&layers, kind, cluster)?,
            selection: options::selection(&layers, selection)?,
            settings: options::run_settings(&layers, parallel, report_dir, keep)?,
            name: options::name(&layers, name)?,
            tools: options::tools(&layers, tools)?,
            verbose: log.verbose > 0,
        })
    }

    fn plan(&self, modes: &[String]) -> Vec<Planned> {
        plan(&self.selection, &self.subject.declared, modes)
    }
}

/// What a finished run leaves for its end.
struct Judged {
    report: Report,
    interrupted: bool,
}

/// Runs the cases.
///
/// # Errors
/// A mistake of the caller, nothing to run, a testbed that does not come up, a second signal.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let order = Order::of(args)?;
    let selected = selected(&order.plan(&order.cluster.kind().modes()));
    if selected == 0 {
        return Err(nothing_to_run(&order));
    }
    let home = Home::from_environment()?;
    sweep::dead(&home, printer)?;
    let kind = order.cluster.kind();
    let place = attach::place(&home, order.name.as_deref(), &order.subject, kind)?;
    let files = ReportFiles::prepare(&order.settings.report_directory)?;
    let interrupts = Interrupts::listen()?;
    let run = Run {
        order,
        home,
        files,
        interrupts,
        printer: printer.clone(),
        started: Timestamp::now(),
        clock: Instant::now(),
    };
    match place {
        Place::Attached(state) => Box::pin(run.attached(*state)).await,
        Place::Own(name) => Box::pin(run.own(&name)).await,
    }
}

fn selected(planned: &[Planned]) -> usize {
    planned
        .iter()
        .filter(|planned| planned.decision.is_ok())
        .count()
}

/// Says why nothing is left to run: by case when cases were named, else by reason.
fn nothing_to_run(order: &Order) -> Failure {
    let planned = order.plan(&order.cluster.kind().modes());
    let reasons: Vec<String> = planned
        .iter()
        .filter_map(|planned| match &planned.decision {
            Err(SkipReason::Excluded) | Ok(_) => None,
            Err(reason) => Some(format!("{} is skipped, {reason}", planned.row.id)),
        })
        .take(10)
        .collect();
    let failure = Failure::nothing_ran("no selected case can run; nothing was started".to_owned());
    if reasons.is_empty() {
        failure.hint("`claimcheck list` with the same flags shows what becomes of each case")
    } else {
        failure.hint(reasons.join("\nhint: "))
    }
}

/// A run under way.
struct Run {
    order: Order,
    home: Home,
    files: ReportFiles,
    interrupts: Interrupts,
    printer: Printer,
    started: Timestamp,
    clock: Instant,
}

impl Run {
    /// On a testbed that is up.
    async fn attached(self, state: State) -> Result<Ended, Failure> {
        let live = Live::new(self.printer.clone());
        live.tell(&format!(
            "attached to testbed `{}` (process {})",
            state.name, state.owner.pid
        ));
        let (broken, _) = watch::channel(None);
        let warn = |text: &str| live.warn(text);
        let watching = attach::watch_over(&state, &broken, &warn);
        let judged = self.judge(&live, &state, &broken, watching).await?;
        live.end();
        self.conclude(&judged, &live, None, Some(&state.name))?;
        if self.keeps(&judged) {
            self.tell_what_is_kept(&state);
        }
        Ok(judged.ended())
    }

    /// On a testbed of its own.
    async fn own(self, name: &str) -> Result<Ended, Failure> {
        let clock = Instant::now();
        let parts = self.find_parts().await?;
        let parts_ms = millis(clock.elapsed());
        // Not before: two of them would draw over each other.
        let live = Live::new(self.printer.clone());
        let logs = self.files.logs();
        fresh_logs(&logs).map_err(Failure::testbed)?;
        let told = |text: &str| live.tell(text);
        let booted = Instant::now();
        let options = BedOptions {
            home: &self.home,
            name,
            logs: &logs,
            subject: &self.order.subject.file,
            parts: &parts,
            parts_ms,
        };
        let stop = self.interrupts.first.cancelled();
        let bed = bed::claimed(&self.home, name, stop, Bed::up(&options, &told)).await?;
        let (broken, _) = watch::channel(None);
        let warn = |text: &str| live.warn(text);
        let watching = bed.watch(&broken, &warn);
        let judged = self.judge(&live, bed.state(), &broken, watching).await;
        live.end();
        let concluded = judged.and_then(|judged| {
            let first = live.first_case().map(|first| first - booted);
            self.conclude(&judged, &live, first, None)?;
            Ok(judged)
        });
        if let Ok(judged) = &concluded
            && self.keeps(judged)
        {
            self.tell_what_is_kept(bed.state());
            self.printer.note("press Ctrl-C to take the testbed down");
            self.interrupts.first.cancelled().await;
        }
        self.take_down(bed, name).await?;
        concluded.map(|judged| judged.ended())
    }

    async fn find_parts(&self) -> Result<Parts, Failure> {
        let Order {
            subject,
            cluster,
            tools,
            ..
        } = &self.order;
        let told = |text: &str| self.printer.note(text);
        tokio::select! {
            found = Parts::find(cluster, &subject.file, tools, &told) => found,
            () = self.interrupts.first.cancelled() => Err(Failure::interrupted()),
        }
    }

    /// Takes the testbed down; at once when a second signal comes.
    async fn take_down(&self, bed: Bed, name: &str) -> Result<(), Failure> {
        tokio::select! {
            down = bed.down() => return down,
            () = self.interrupts.second.cancelled() => {}
        }
        bed::discard(&self.home, name).await
    }

    /// Runs the planned cases and makes the report. `watching` never ends; it fills `broken`.
    async fn judge(
        &self,
        live: &Live,
        state: &State,
        broken: &watch::Sender<Option<String>>,
        watching: impl Future<Output = Infallible>,
    ) -> Result<Judged, Failure> {
        let ground = Ground::attach(state.clone(), self.order.subject.declared.clone())
            .await
            .map_err(Failure::testbed)?;
        let planned = self.order.plan(&state.cluster.modes);
        live.begin(selected(&planned));
        let options = RunOptions {
            parallel: self.order.settings.parallel,
            captures: self.files.captures(),
            keep: self.order.settings.keep,
            rerun: self.rerun(),
            interrupted: self.interrupts.first.clone(),
            broken: broken.subscribe(),
        };
        let clock = Instant::now();
        let finished = tokio::select! {
            finished = show(&ground, planned, &options, live) => finished,
            never = watching => match never {},
            () = self.interrupts.second.cancelled() => return Err(Failure::interrupted()),
        };
        let cases = clock.elapsed();
        let report = suite::report(&ground, finished, self.started, cases, self.clock.elapsed());
        Ok(Judged {
            report,
            interrupted: self.interrupts.first.is_cancelled(),
        })
    }

    /// Writes the reports and the summary.
    fn conclude(
        &self,
        judged: &Judged,
        live: &Live,
        to_first_case: Option<Duration>,
        attached: Option<&str>,
    ) -> Result<(), Failure> {
        self.files.write(&judged.report)?;
        let facts = Facts {
            report_directory: self.files.given.clone(),
            captured: self.files.captured(),
            boot_to_first_case: to_first_case,
            warnings: live.warnings(),
            attached: attached.map(str::to_owned),
            interrupted: judged.interrupted,
            every_skip: self.order.verbose,
        };
        self.printer
            .data(&summary::render(&judged.report, &facts, self.printer.out))
    }

    /// Whether objects of cases are left for a look.
    fn keeps(&self, judged: &Judged) -> bool {
        let totals = judged.report.totals;
        !judged.interrupted
            && match self.order.settings.keep {
                Keep::Never => false,
                Keep::Failure => totals.failed + totals.flaky + totals.inconclusive > 0,
                Keep::Always => true,
            }
    }

    fn tell_what_is_kept(&self, state: &State) {
        self.printer.note(&format!(
            "kept for a look:\n  KUBECONFIG={}\n  export {}\n  logs {}",
            state.cluster.kubeconfig, state.export.directory, state.logs
        ));
    }

    /// The command that runs a case again, up to the case.
    fn rerun(&self) -> String {
        let mut text = format!("{} run --subject {}", program(), self.order.subject.given);
        if let ClusterChoice::Kind(_) = self.order.cluster {
            text.push_str(" --cluster kind");
        }
        if let Some(name) = &self.order.name {
            text.push_str(" --name ");
            text.push_str(name);
        }
        text
    }
}

impl Judged {
    fn ended(&self) -> Ended {
        Ended::Judged {
            totals: self.report.totals,
            interrupted: self.interrupted,
        }
    }
}

/// Runs the cases and shows what happens.
async fn show(
    ground: &Ground,
    planned: Vec<Planned>,
    options: &RunOptions,
    live: &Live,
) -> Finished {
    let (events, mut happened) = mpsc::unbounded_channel();
    let judging = async move {
        // The sender goes with this future, which ends the display.
        let events = events;
        runner::run(ground, planned, options, &events).await
    };
    let showing = async {
        while let Some(event) = happened.recv().await {
            live.on(&event);
        }
    };
    let (finished, ()) = tokio::join!(judging, showing);
    finished
}

/// How this program was called, for commands that people copy.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if !called.contains('/') {
        return "claimcheck".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    std::path::Path::new(&called)
        .strip_prefix(here)
        .map_or(called.clone(), |below| below.display().to_string())
}

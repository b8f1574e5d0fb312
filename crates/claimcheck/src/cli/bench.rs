//! `claimcheck bench`: how fast subjects make, bind and delete volumes in bursts of claims, beside
//! what the control plane does by itself.

use std::time::Instant;

use anyhow::anyhow;
use jiff::Timestamp;
use testbed::artifacts::Home;
use testbed::cluster::local::LocalBinaries;
use testbed::tools::versions;

use super::arguments::LogFlags;
use super::sweep;
use super::tools::ToolSources;
use crate::bed::{self, Parts};
use crate::bench::{self, BenchFiles, BenchFlags, Beside, Facts, Ground, Order, Report};
use crate::exit::Ended;
use crate::failure::Failure;
use crate::options::{ClusterChoice, OptionLayers};
use crate::printer::Printer;
use crate::signals::Interrupts;

/// What `bench` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// A provisioner to measure, `reference` unless given: a subject file or a built-in subject;
    /// several, separated by commas, take turns
    #[arg(long, value_name = "FILE|NAME,...")]
    subject: Vec<String>,
    /// Measure the controller-manager alone as well, which binds volumes that are there already
    #[arg(long)]
    ceiling: bool,
    /// Claims made at once, 1000 unless given
    #[arg(long, value_name = "N")]
    claims: Option<String>,
    /// Rounds of which the median counts, 5 unless given
    #[arg(long, value_name = "N")]
    rounds: Option<String>,
    /// Measure each subject at rest as well: claims made one after another, and what it writes while
    /// nothing happens
    #[arg(long)]
    idle: bool,
    /// Start each subject again in the middle of its bursts, and measure how soon it works again
    #[arg(long)]
    restart: bool,
    /// Where `bench.json` and logs go; `claimcheck-report` unless given
    #[arg(long, value_name = "DIR", visible_alias = "output")]
    report_dir: Option<String>,
    /// The kind of cluster: `local`, which is the only one that can be measured
    #[arg(long, value_name = "KIND")]
    cluster: Option<String>,
    #[command(flatten)]
    tools: ToolSources,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Measures, writes `bench.json` and the table.
///
/// # Errors
/// A mistake of the caller, a control plane that does not come up or breaks, a subject that does not
/// get through a burst, a signal. Figures of bursts that were finished are written all the same.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args {
        subject,
        ceiling,
        claims,
        rounds,
        idle,
        restart,
        report_dir,
        cluster,
        tools,
        log: _,
    } = args;
    let flags = BenchFlags {
        subject,
        ceiling,
        claims,
        rounds,
        beside: Beside { idle, restart },
        cluster,
        report_dir,
        tools,
    };
    let order = Order::of(&OptionLayers::read()?, flags)?;
    let home = Home::from_environment()?;
    sweep::dead(&home, printer)?;
    let files = BenchFiles::prepare(&order.report_directory)?;
    let interrupts = Interrupts::listen()?;
    let bench = Bench {
        order,
        home,
        files,
        interrupts,
        printer,
    };
    Box::pin(bench.run()).await
}

/// The name of the control plane of a bench in this process.
pub(super) fn name_of(pid: u32) -> String {
    format!("bench-{pid}")
}

/// A bench under way.
struct Bench<'a> {
    order: Order,
    home: Home,
    files: BenchFiles,
    interrupts: Interrupts,
    printer: &'a Printer,
}

impl Bench<'_> {
    async fn run(self) -> Result<Ended, Failure> {
        let (started, clock) = (Timestamp::now(), Instant::now());
        let binaries = self.find_binaries().await?;
        // Benches side by side do not collide, though their figures are of no use then.
        let name = name_of(std::process::id());
        let ground = self.boot(&name, &binaries).await?;
        let (mut runs, logs) = (Vec::new(), self.files.logs());
        let told = |text: &str| self.printer.note(text);
        // What is dropped here kills its processes.
        let result = tokio::select! {
            result = bench::all(&ground, &self.order, &logs, &mut runs, &told) => result,
            died = ground.failed() => Err(Failure::testbed(anyhow!("{died}"))),
            () = self.interrupts.first.cancelled() => Err(Failure::interrupted()),
        };
        let reported = if runs.is_empty() {
            Ok(())
        } else {
            let failure = result.as_ref().err();
            let facts = Facts {
                started,
                duration: clock.elapsed(),
                kubernetes: versions::KUBERNETES.to_owned(),
                failure: failure.map(|failure| failure.error.to_string()),
            };
            self.report(&Report::of(&self.order, runs, facts))
        };
        ground.down().await;
        bed::discard(&self.home, &name).await?;
        result.and(reported).map(|()| Ended::Done)
    }

    async fn find_binaries(&self) -> Result<LocalBinaries, Failure> {
        let told = |text: &str| self.printer.note(text);
        // It asks for a subject because of its images, which processes do not have.
        let Some(any) = self.order.subjects.first() else {
            return Err(Failure::defect(anyhow!("a bench without a subject")));
        };
        let parts = tokio::select! {
            found = Parts::find(&ClusterChoice::Local, &any.file, &self.order.tools, &told) => found?,
            () = self.interrupts.first.cancelled() => return Err(Failure::interrupted()),
        };
        match parts {
            Parts::Local(binaries) => Ok(binaries),
            Parts::Kind(_) => Err(Failure::defect(anyhow!("a local cluster of another kind"))),
        }
    }

    async fn boot(&self, name: &str, binaries: &LocalBinaries) -> Result<Ground, Failure> {
        self.printer.note(&format!(
            "booting a control plane of its own (kubernetes {})",
            versions::KUBERNETES
        ));
        let (directory, logs) = (self.home.cluster(name), self.files.logs());
        let users = self.order.users();
        let boot = Ground::up(binaries, directory, &logs, &users);
        let stop = self.interrupts.first.cancelled();
        Box::pin(bed::claimed(&self.home, name, stop, boot)).await
    }

    fn report(&self, report: &Report) -> Result<(), Failure> {
        self.files.write(report)?;
        let shown = self.files.shown();
        let text = bench::render(report, shown.as_str(), self.printer.out);
        self.printer.data(&text)
    }
}

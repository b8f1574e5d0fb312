//! Arguments, each with an environment variable, and the two ways in: the binary `nfs-provisioner`
//! and `claimcheck provisioner`.
//!
//! The variables are nfs-subdir's where it has them, so that its manifests start this program
//! unchanged. Its glog flags are taken with one or two dashes; see [`normalise`].

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::app;
use crate::commands::{self, Report};
use crate::error::Error;
use crate::logging;
use crate::seams::Seams;

mod defaults;
mod glog;
mod limits;
mod settings;
mod signals;
mod termination;

pub use glog::normalise;
pub use settings::{BackendName, RunArgs};
pub use signals::hold_signals;

/// Gives every claim a directory of its own on one existing NFS export.
#[derive(Clone, Debug, Parser)]
#[command(name = "nfs-provisioner", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    arguments: ProvisionerArgs,
}

/// What `nfs-provisioner` and `claimcheck provisioner` take.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProvisionerArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// Every command takes the settings of `run`, so that what a manifest sets holds for all of them.
#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve claims until told to stop (the default)
    Run(Box<RunArgs>),
    /// Say what becomes of the classes, volumes and rights there are; changes nothing
    Check(Box<CheckArgs>),
    /// Hand volumes over that the provisioner has no record of
    Adopt(Box<AdoptArgs>),
    /// List what lies on the export and belongs to no volume
    Orphans(Box<OrphansArgs>),
    /// List the volumes that carry the provisioner's finalizer, or take it off
    Finalizers(Box<FinalizersArgs>),
}

/// How a command tells what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns
    Table,
    /// One JSON document
    Json,
}

#[derive(Clone, Debug, Args)]
struct CheckArgs {
    /// How to tell what was found
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Debug, Args)]
struct AdoptArgs {
    /// The volumes to hand over
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    volumes: Vec<String>,
    /// Every volume that can be handed over
    #[arg(long)]
    all: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How to tell what was done
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Debug, Args)]
struct OrphansArgs {
    /// Remove trees in the trash that no record names; nothing else is ever removed
    #[arg(long)]
    remove: bool,
    /// How to tell what was found
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Debug, Args)]
struct FinalizersArgs {
    /// Take it off, before another provisioner gets the volumes
    #[arg(long)]
    remove: bool,
    /// How to tell what was found
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    run: RunArgs,
}

impl ProvisionerArgs {
    /// The settings of the command given, or of `run`.
    pub fn run_args(&self) -> &RunArgs {
        match &self.command {
            Some(Command::Run(settings)) => settings,
            Some(Command::Check(arguments)) => &arguments.run,
            Some(Command::Adopt(arguments)) => &arguments.run,
            Some(Command::Orphans(arguments)) => &arguments.run,
            Some(Command::Finalizers(arguments)) => &arguments.run,
            None => &self.run,
        }
    }

    /// Whether claims are served, which is told in a log; the other commands answer and end.
    const fn serves(&self) -> bool {
        matches!(&self.command, None | Some(Command::Run(_)))
    }
}

/// Sends logs to stderr: `RUST_LOG` if it is set, else the level that `-v` means. Commands that
/// answer and end log warnings only.
///
/// # Errors
/// [`Error::Logging`] when a subscriber is installed already.
pub fn init_logging(arguments: &ProvisionerArgs) -> Result<(), Error> {
    let settings = arguments.run_args();
    logging::init(
        settings.operations.log_format(),
        settings.verbosity,
        arguments.serves(),
    )
}

/// Runs what was asked for: serves until SIGTERM, SIGINT or a fatal error, or answers and ends. The
/// caller has installed a rustls provider and, if it wants logs, a subscriber ([`init_logging`]). A
/// process of its own has called [`hold_signals`] before anything else.
///
/// # Errors
/// Whatever ends the provisioner before it is asked to stop; [`Error::exit_code`] says what a
/// process makes of it.
///
/// # Access control
/// The rules listed in [`crate::access::RULES`].
pub async fn run(arguments: ProvisionerArgs) -> Result<(), Error> {
    run_with(arguments, |seams| seams).await
}

/// [`run`] with something put between the provisioner and its seams, such as a deliberate defect.
///
/// # Errors
/// Those of [`run`].
pub async fn run_with(
    arguments: ProvisionerArgs,
    wrap: impl FnOnce(Seams) -> Seams,
) -> Result<(), Error> {
    let serves = arguments.serves();
    let result = dispatch(arguments, wrap).await;
    if serves && let Err(error) = &result {
        termination::leave_message(&format!("failed to {error}"));
    }
    result
}

async fn dispatch(
    arguments: ProvisionerArgs,
    wrap: impl FnOnce(Seams) -> Seams,
) -> Result<(), Error> {
    let shutdown = CancellationToken::new();
    let _listening = if arguments.serves() {
        Some(signals::stop_on_signal(shutdown.clone())?)
    } else {
        // A command that answers and ends is ended by a signal as any other program.
        signals::release();
        None
    };
    let settings = arguments.run_args();
    let config = settings.config()?;
    let ignored = settings.glog.given();
    if !ignored.is_empty() {
        tracing::warn!(
            flags = ignored.join(", "),
            "these logging flags of nfs-subdir have no effect here"
        );
    }
    let seams = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        seams = app::real_seams(&config) => wrap(seams?),
    };
    match &arguments.command {
        None | Some(Command::Run(_)) => app::run(config, seams, shutdown).await,
        Some(Command::Check(arguments)) => {
            let report = commands::check::run(&config, &seams, settings.export_spelling()).await?;
            tell(&report, arguments.output)
        }
        Some(Command::Adopt(arguments)) => {
            let chosen = (!arguments.all).then_some(arguments.volumes.as_slice());
            let report = commands::adopt::run(&config, &seams, chosen, arguments.dry_run).await?;
            tell(&report, arguments.output)
        }
        Some(Command::Orphans(arguments)) => {
            let report = commands::orphans::run(&config, &seams, arguments.remove).await?;
            tell(&report, arguments.output)
        }
        Some(Command::Finalizers(arguments)) => {
            let report = commands::finalizers::run(&config, &seams, arguments.remove).await?;
            tell(&report, arguments.output)
        }
    }
}

/// Writes an answer to standard output; an answer that is no good ends the process with a code of
/// its own.
fn tell(report: &dyn Report, output: Output) -> Result<(), Error> {
    let text = match output {
        Output::Table => report.table(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|error| Error::Output(error.to_string()))?;
    match report.complaint() {
        None => Ok(()),
        Some(complaint) => Err(Error::NotGood(complaint)),
    }
}

/// The work is waiting, so a few threads do; each costs memory for as long as the process lives.
fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(4))
        .enable_all()
        .build()
        .map_err(|error| Error::Logging(format!("start the runtime: {error}")))
}

/// The whole of the binary after [`hold_signals`]: parse, log, run, exit code.
pub fn main() -> ExitCode {
    let arguments = Cli::parse_from(normalise(std::env::args_os())).arguments;
    let outcome = init_logging(&arguments).and_then(|()| {
        let runtime = runtime()?;
        let outcome = runtime.block_on(run(arguments));
        // Whatever still waits for a server that is gone is not waited for.
        runtime.shutdown_background();
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                category = error.category(),
                object = error.object(),
                "failed to {error}"
            );
            ExitCode::from(error.exit_code())
        }
    }
}

/// The configuration of the required settings alone.
#[cfg(test)]
pub(crate) fn example_config() -> crate::config::Config {
    let arguments = [
        "nfs-provisioner",
        "--provisioner-name=a.b/c",
        "--nfs-server=server",
        "--nfs-path=/export",
        "--namespace=ns",
    ];
    Cli::parse_from(arguments)
        .arguments
        .run_args()
        .config()
        .expect("the settings are sound")
}

#[cfg(test)]
mod tests;

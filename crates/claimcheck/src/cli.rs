//! The command line: one file for each command.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use testbed::tools::ToolError;
use tracing_subscriber::EnvFilter;

use self::arguments::LogFlags;
use crate::exit::{self, Ended};
use crate::failure::{Failure, tool_failure};
use crate::printer::Printer;
use crate::signals::Interrupts;

pub(crate) mod arguments;
mod bench;
mod completions;
pub mod doctor;
mod down;
mod explain;
mod list;
mod mutants;
mod provisioner;
mod run;
mod status;
mod supervise;
mod sweep;
pub mod tools;
mod up;

/// Checks whether a Kubernetes storage provisioner does what its users rely on
#[derive(Debug, Parser)]
#[command(name = "claimcheck", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Shown below the commands.
const AFTER_HELP: &str = "\
Options come from flags, then CLAIMCHECK_* variables, then claimcheck.toml in the current directory.

Exit codes: 0 nothing failed, 100 cases failed, 105 the testbed failed, 4 nothing ran,
2 usage, 130 interrupted, 1 a defect of claimcheck";

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot a testbed, judge the subject, write reports and take the testbed down
    Run(run::Args),
    /// List the catalogue, with what becomes of each case in a run
    List(list::Args),
    /// Explain one case: its rule, its source, what it needs
    Explain(explain::Args),
    /// Boot a testbed and leave it running
    Up(up::Args),
    /// Take testbeds down, and remove what dead ones left behind
    Down(down::Args),
    /// Show the testbeds that are up
    Status(status::Args),
    /// List the binaries of clusters, or get those that are missing
    Tools(ToolsCommand),
    /// Say what this machine can run, what is missing, and what mends it
    Doctor(doctor::Args),
    /// Run the reference provisioner, with the flags of `nfs-provisioner`
    Provisioner(Box<::provisioner::cli::ProvisionerArgs>),
    /// Test the suite itself: each faulty variant of the reference must be caught by its case
    Mutants(Box<mutants::Args>),
    /// Measure how fast subjects make, bind and delete volumes in bursts of claims
    Bench(Box<bench::Args>),
    /// Write a completion script for a shell
    Completions(completions::Args),
    /// Own a testbed until told to stop
    #[command(hide = true)]
    Supervise(supervise::Args),
}

#[derive(Debug, clap::Args)]
struct ToolsCommand {
    #[command(flatten)]
    tools: tools::ToolsArgs,
    #[command(flatten)]
    log: LogFlags,
}

/// First argument that makes this program the mount program of nodes whose kernel has no NFS. The
/// rest is what mount(8) hands to its helpers, which is no command line of ours.
const NFS_MOUNT: &str = "nfs-mount";
/// First argument that makes this program the reference provisioner.
const PROVISIONER: &str = "provisioner";

/// The whole of the binary: parse, run, exit code.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == PROVISIONER) {
        ::provisioner::cli::hold_signals();
    }
    if arguments.next_if(|first| first == NFS_MOUNT).is_some() {
        let program = nfs_mount::Program {
            leading_arguments: vec![NFS_MOUNT.into()],
        };
        return nfs_mount::run(&program, arguments);
    }
    ExitCode::from(match Cli::try_parse_from(normalised(std::env::args_os())) {
        Ok(cli) => exit::code(start(cli.command)),
        // Help and version are no mistakes and come this way as well.
        Err(error) => {
            let _ = error.print();
            if error.use_stderr() {
                exit::USAGE
            } else {
                exit::PASSED
            }
        }
    })
}

/// The arguments of `provisioner` in the form its parser takes.
fn normalised(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments
        .get(1)
        .is_some_and(|command| command == PROVISIONER)
    {
        let rest = arguments.split_off(2);
        arguments.extend(::provisioner::cli::normalise(rest));
    }
    arguments
}

/// Runs a command on a runtime of its own and says what went wrong.
fn start(command: Command) -> Ended {
    let printer = Printer::new(command.wants_logs());
    let result = command.log_to_stderr().and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::defect(anyhow::Error::from(error).context("no runtime")))?;
        let result = runtime.block_on(command.run(&printer));
        // What still blocks now is nobody's any more.
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|failure| {
        printer.failure(&failure);
        Ended::Failed(failure.cause)
    })
}

impl Command {
    async fn run(self, printer: &Printer) -> Result<Ended, Failure> {
        match self {
            Self::Run(args) => run::run(args, printer).await,
            Self::List(args) => list::run(args, printer),
            Self::Explain(args) => explain::run(args, printer),
            Self::Up(args) => up::run(args, printer).await,
            Self::Down(args) => down::run(args, printer).await,
            Self::Status(args) => status::run(&args, printer),
            Self::Tools(ToolsCommand {
                tools: args,
                log: _,
            }) => {
                sweep::quietly(printer);
                list_tools(args, printer).await
            }
            Self::Doctor(args) => doctor::run(args, printer).await,
            Self::Provisioner(args) => Ok(provisioner::run(*args).await),
            Self::Mutants(args) => Box::pin(mutants::run(*args, printer)).await,
            Self::Bench(args) => Box::pin(bench::run(*args, printer)).await,
            Self::Completions(args) => {
                completions::run(&args, &mut Cli::command(), printer).map(|()| Ended::Done)
            }
            Self::Supervise(args) => supervise::run(args).await,
        }
    }

    /// The log flags, of commands that have them.
    fn log_flags(&self) -> Option<&LogFlags> {
        match self {
            Self::Run(args) => Some(&args.log),
            Self::List(args) => Some(&args.log),
            Self::Explain(args) => Some(&args.log),
            Self::Up(args) => Some(&args.log),
            Self::Down(args) => Some(&args.log),
            Self::Status(args) => Some(&args.log),
            Self::Tools(args) => Some(&args.log),
            Self::Doctor(args) => Some(&args.log),
            Self::Mutants(args) => Some(&args.log),
            Self::Bench(args) => Some(&args.log),
            Self::Provisioner(_) | Self::Completions(_) | Self::Supervise(_) => None,
        }
    }

    fn wants_logs(&self) -> bool {
        self.log_flags().is_some_and(|flags| flags.verbose > 0)
    }

    /// Sends logs to standard error, as much of them as was asked for.
    fn log_to_stderr(&self) -> Result<(), Failure> {
        let verbose = match self {
            Self::Provisioner(args) => {
                return ::provisioner::cli::init_logging(args).map_err(Failure::defect);
            }
            Self::Supervise(_) => 1,
            _ => self.log_flags().map_or(0, |flags| flags.verbose),
        };
        let ours = match verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        // The client calls every refused connection of a boot an error.
        let others = if verbose < 2 {
            "error,kube_client=off"
        } else {
            "info"
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
            EnvFilter::new(format!(
                "{others},claimcheck={ours},conformance={ours},testbed={ours},provisioner={ours}"
            ))
        });
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .try_init()
            .map_err(|error| Failure::defect(anyhow::anyhow!("cannot install the log: {error}")))
    }
}

/// Lists or fetches tools, until a signal comes.
async fn list_tools(args: tools::ToolsArgs, printer: &Printer) -> Result<Ended, Failure> {
    let interrupts = Interrupts::listen()?;
    let mut text = Vec::new();
    let result = tokio::select! {
        result = tools::run(args, &mut text) => result,
        () = interrupts.first.cancelled() => {
            return Err(Failure::interrupted()
                .hint("nothing half-made was left; finished tools stay in the cache"));
        }
    };
    printer.data(&String::from_utf8_lossy(&text))?;
    match result.map_err(anyhow::Error::downcast::<ToolError>) {
        Ok(()) => Ok(Ended::Done),
        Err(Ok(error)) => Err(tool_failure(error)),
        Err(Err(error)) => Err(Failure::testbed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn only_the_provisioners_flags_are_taken_with_one_dash() {
        let normal =
            |text: &str| -> Vec<OsString> { normalised(text.split(' ').map(OsString::from)) };
        assert_eq!(normal("claimcheck provisioner -v=4")[2], "--v=4");
        assert_eq!(normal("claimcheck run -v")[2], "-v");
    }
}

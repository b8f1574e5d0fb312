//! `claimcheck completions`: a completion script for a shell.

use clap_complete::Shell;

use crate::failure::Failure;
use crate::printer::Printer;

/// What `completions` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script to standard output.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn run(
    args: &Args,
    command: &mut clap::Command,
    printer: &Printer,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "claimcheck", &mut script);
    printer.data(&String::from_utf8_lossy(&script))
}

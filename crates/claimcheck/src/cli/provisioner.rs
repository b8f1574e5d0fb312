//! `claimcheck provisioner`: the reference provisioner, so that one binary is self-sufficient.

use ::provisioner::cli::ProvisionerArgs;

use crate::exit::Ended;

/// Runs it until it is told to stop. Exit codes are those of `nfs-provisioner`.
pub(crate) async fn run(args: ProvisionerArgs) -> Ended {
    ended(::provisioner::cli::run(args).await)
}

/// How the command ends when the provisioner does.
pub(crate) fn ended(result: Result<(), ::provisioner::error::Error>) -> Ended {
    match result {
        Ok(()) => Ended::Done,
        Err(error) => {
            // Its operators read a log, not a terminal.
            tracing::error!(
                category = error.category(),
                object = error.object(),
                "failed to {error}"
            );
            Ended::Provisioner(error.exit_code())
        }
    }
}

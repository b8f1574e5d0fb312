//! `claimcheck status`: the testbeds that are up.

use std::time::Duration;

use testbed::artifacts::Home;
use testbed::state::StateError;

use super::arguments::LogFlags;
use super::{bench, sweep};
use crate::exit::Ended;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::table::{aligned, header};

/// What `status` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Writes the table to standard output.
///
/// # Errors
/// The state root cannot be read, or standard output cannot be written.
pub(crate) fn run(args: &Args, printer: &Printer) -> Result<Ended, Failure> {
    // A new flag must be looked at here.
    let Args { log: _ } = args;
    let home = Home::from_environment()?;
    sweep::dead(&home, printer)?;
    let mut rows = vec![header([
        "NAME",
        "KUBERNETES",
        "SUBJECT",
        "PID",
        "AGE",
        "KUBECONFIG",
    ])];
    for name in home.names()? {
        let age = age(&home, &name).map_or_else(|| "-".to_owned(), spoken);
        match home.load(&name) {
            Ok(state) => rows.push([
                name,
                state.cluster.kubernetes,
                state.subject.name,
                state.owner.pid.to_string(),
                age,
                state.cluster.kubeconfig.to_string(),
            ]),
            Err(StateError::Starting { pid, .. }) => {
                let [kubernetes, kubeconfig] = ["-", "-"].map(str::to_owned);
                let subject = stage(&name, pid).to_owned();
                rows.push([name, kubernetes, subject, pid.to_string(), age, kubeconfig]);
            }
            // It went away while this command looked.
            Err(StateError::Unknown { .. } | StateError::Dead { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if rows.len() == 1 {
        printer.note("no testbed is up");
        return Ok(Ended::Done);
    }
    printer.data(&(aligned(&rows).join("\n") + "\n"))?;
    Ok(Ended::Done)
}

/// What is to be said of a testbed that has told nothing of itself: a control plane that a bench
/// works on never does, as nothing but the bench may use it.
fn stage(name: &str, pid: u32) -> &'static str {
    if name == bench::name_of(pid) {
        "(bench)"
    } else {
        "starting"
    }
}

/// How long ago the testbed's name was taken: its directory begins with the owner's file.
fn age(home: &Home, name: &str) -> Option<Duration> {
    let written = fs_err::metadata(home.cluster(name).join("owner"))
        .ok()?
        .modified()
        .ok()?;
    written.elapsed().ok()
}

/// A length of time in its two largest units.
fn spoken(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_of_a_bench_is_told_from_a_testbed_that_starts() {
        assert_eq!(stage(&bench::name_of(7), 7), "(bench)");
        // A name that somebody chose.
        assert_eq!(stage(&bench::name_of(7), 8), "starting");
        assert_eq!(stage("default", 7), "starting");
    }

    #[test]
    fn an_age_has_two_units() {
        let spoken = |seconds| spoken(Duration::from_secs(seconds));
        assert_eq!(spoken(59), "59s");
        assert_eq!(spoken(61), "1m1s");
        assert_eq!(spoken(7261), "2h1m");
        assert_eq!(spoken(90_000), "1d1h");
    }
}

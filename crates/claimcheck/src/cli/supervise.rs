//! `claimcheck supervise`, hidden: the process that `up` leaves behind. It owns cluster, export and
//! subject, and ends with them.

use std::io::Write as _;

use anyhow::anyhow;
use camino::Utf8PathBuf;
use nix::unistd::setsid;
use serde::{Deserialize, Serialize};
use testbed::artifacts::Home;
use testbed::subject::Subject;

use crate::attach;
use crate::bed::{self, Bed, BedOptions};
use crate::exit::{Cause, Ended};
use crate::failure::{Failure, from_texts};
use crate::signals::Interrupts;

/// Its log, among those of the testbed.
pub(super) const LOG: &str = "supervisor.log";

/// What `supervise` takes: what `up` has resolved.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    name: String,
    #[arg(long)]
    subject: String,
    #[arg(long)]
    logs: Utf8PathBuf,
    #[arg(long)]
    parts_ms: u64,
    /// JSON
    #[arg(long)]
    parts: String,
}

/// What the supervisor says to `up`, one JSON object on a line of standard output each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Word {
    /// News for a person.
    Told(String),
    /// The testbed is up.
    Up,
    /// It is not.
    Failed(Refusal),
}

/// A [`Failure`] on its way from the supervisor to `up`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    cause: Cause,
    error: Vec<String>,
    hint: Option<String>,
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        Self {
            cause: failure.cause,
            error: failure.error.chain().map(ToString::to_string).collect(),
            hint: failure.hint.clone(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let Refusal { cause, error, hint } = refusal;
        let error = from_texts(error);
        Self { cause, error, hint }
    }
}

/// Boots the testbed, says so, and owns it until a signal comes or a part of it ends.
///
/// # Errors
/// The testbed does not come up, or breaks.
pub(crate) async fn run(args: Args) -> Result<Ended, Failure> {
    // Fails only for the leader of a process group, which nobody makes of this process.
    let _ = setsid();
    let interrupts = Interrupts::listen()?;
    let home = Home::from_environment()?;
    let bed = match up(&args, &home, &interrupts).await {
        Ok(bed) => bed,
        Err(failure) => {
            say(&Word::Failed((&failure).into()));
            return Err(failure);
        }
    };
    say(&Word::Up);
    tracing::info!(name = args.name, "testbed is up");
    let died = tokio::select! {
        died = bed.failed() => Some(died),
        () = interrupts.first.cancelled() => None,
    };
    tokio::select! {
        down = bed.down() => down?,
        () = interrupts.second.cancelled() => bed::discard(&home, &args.name).await?,
    }
    tracing::info!(name = args.name, "testbed is down");
    match died {
        Some(died) => Err(Failure::testbed(anyhow!(died))),
        None => Ok(Ended::Done),
    }
}

async fn up(args: &Args, home: &Home, interrupts: &Interrupts) -> Result<Bed, Failure> {
    let Args {
        name,
        subject,
        logs,
        parts_ms,
        parts,
    } = args;
    let subject = Subject::open(subject).map_err(Failure::usage)?;
    let parts = serde_json::from_str(parts).map_err(Failure::defect)?;
    let told = |text: &str| say(&Word::Told(text.to_owned()));
    let options = BedOptions {
        home,
        name,
        logs,
        subject: &subject,
        parts: &parts,
        parts_ms: *parts_ms,
    };
    let stop = interrupts.first.cancelled();
    let bed = bed::claimed(home, name, stop, Bed::up(&options, &told)).await?;
    attach::share(bed.state())?;
    Ok(bed)
}

/// Says a word to `up`, which may have gone away; the testbed comes up all the same.
fn say(word: &Word) {
    if let Ok(line) = serde_json::to_string(word) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_its_way_to_up() {
        let error = anyhow!("inner").context("outer");
        let failure = Failure::testbed(error).hint("look");
        let line = serde_json::to_string(&Word::Failed((&failure).into())).unwrap();
        let Word::Failed(refusal) = serde_json::from_str(&line).unwrap() else {
            panic!("another word arrived: {line}");
        };
        let arrived = Failure::from(refusal);
        let paint = crate::printer::Paint::PLAIN;
        assert_eq!(arrived.render(paint), failure.render(paint));
        assert_eq!(arrived.cause, failure.cause);
    }
}

//! `claimcheck down`: takes testbeds down, and removes what dead ones left behind.

use std::time::Duration;

use testbed::artifacts::Home;
use testbed::state::{self, Swept};

use super::arguments::LogFlags;
use super::sweep;
use crate::exit::Ended;
use crate::failure::Failure;
use crate::options::{self, DEFAULT_NAME, OptionLayers};
use crate::printer::Printer;

/// How long an owner may take to end its testbed before it is killed.
const GRACE: Duration = Duration::from_secs(15);

/// What `down` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The testbed to take down, `default` unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Every testbed of this user's
    #[arg(long, conflicts_with = "name")]
    all: bool,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Takes them down.
///
/// # Errors
/// A name that is none, or something that cannot be ended or removed.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args { name, all, log: _ } = args;
    let layers = OptionLayers::read()?;
    let name = options::name(&layers, name)?;
    let home = Home::from_environment()?;
    let swept = sweep::dead(&home, printer)?;
    let names = if all {
        home.names()?
    } else {
        vec![name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned())]
    };
    let mut ended = 0;
    for one in &names {
        let known = home.names()?.contains(one);
        if known {
            let left = end(home.clone(), one.clone()).await?;
            ended += 1;
            printer.note(&format!("testbed `{one}` is down{}", killed(left.as_ref())));
        }
    }
    if ended == 0 && swept.is_empty() {
        match name {
            Some(name) => printer.note(&format!("no testbed `{name}` is up")),
            None => printer.note("nothing to take down"),
        }
        let others = home.names()?;
        if !all && !others.is_empty() {
            printer.note(&format!(
                "hint: up are: {}; name one with `--name`, or take all down with `--all`",
                others.join(", ")
            ));
        }
    }
    Ok(Ended::Done)
}

/// Ends one testbed from outside.
async fn end(home: Home, name: String) -> Result<Option<Swept>, Failure> {
    tokio::task::spawn_blocking(move || state::end(&home, &name, GRACE))
        .await
        .map_err(Failure::defect)?
        .map_err(Failure::from)
}

/// What its owner did not end by itself.
fn killed(left: Option<&Swept>) -> String {
    match left {
        Some(left) if !left.processes.is_empty() => {
            let names: Vec<_> = left
                .processes
                .iter()
                .map(|(name, pid)| format!("{name} ({pid})"))
                .collect();
            format!("; its owner left {}, which were killed", names.join(", "))
        }
        _ => String::new(),
    }
}

//! `claimcheck up`: boots a testbed and leaves one supervisor process that owns all of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use camino::Utf8Path;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::artifacts::{Home, fresh_logs};
use testbed::state::StateError;
use tokio::sync::mpsc;

use super::arguments::{ClusterFlags, LogFlags, SubjectFlags};
use super::supervise::{LOG, Word};
use super::sweep;
use super::tools::ToolSources;
use crate::bed::{Parts, millis, this_program};
use crate::exit::Ended;
use crate::failure::Failure;
use crate::live::Live;
use crate::options::{self, DEFAULT_NAME, OptionLayers};
use crate::printer::Printer;
use crate::signals::Interrupts;

/// What `up` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: SubjectFlags,
    #[command(flatten)]
    cluster: ClusterFlags,
    /// The testbed's name, `default` unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    tools: ToolSources,
    #[command(flatten)]
    pub(super) log: LogFlags,
}

/// Boots a testbed in a process of its own and ends when it is up.
///
/// # Errors
/// A mistake of the caller, a name that is taken, or a testbed that does not come up.
pub(crate) async fn run(args: Args, printer: &Printer) -> Result<Ended, Failure> {
    let Args {
        subject,
        cluster,
        name,
        tools,
        log: _,
    } = args;
    let layers = OptionLayers::read()?;
    let (subject, kind) = options::subject(&layers, subject)?;
    subject.file.runs_on(kind).map_err(Failure::usage)?;
    let cluster = options::cluster_choice(&layers, kind, cluster)?;
    let name = options::name(&layers, name)?.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let tools = options::tools(&layers, tools)?;
    let home = Home::from_environment()?;
    sweep::dead(&home, printer)?;
    // The supervisor claims the name; this only spares the wait for it to find out.
    if let Some(owner) = home.owner(&name)? {
        return Err(StateError::Live {
            name,
            pid: owner.pid,
        }
        .into());
    }
    let interrupts = Interrupts::listen()?;
    let clock = Instant::now();
    let told = |text: &str| printer.note(text);
    let parts = tokio::select! {
        found = Parts::find(&cluster, &subject.file, &tools, &told) => found?,
        () = interrupts.first.cancelled() => return Err(Failure::interrupted()),
    };
    // Not before: two displays would draw over each other.
    let live = Live::new(printer.clone());
    let logs = home.logs(&name);
    fresh_logs(&logs).map_err(Failure::testbed)?;
    let subject = subject.file.file.as_str();
    let mut supervisor = spawn(&name, subject, &parts, millis(clock.elapsed()), &logs)?;
    let mut words = listen(&mut supervisor)?;
    let result = loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(Word::Told(text)) => live.tell(&text),
                Some(Word::Up) => break Ok(()),
                Some(Word::Failed(refused)) => break Err(refused.into()),
                None => break Err(Failure::testbed(anyhow::anyhow!(
                    "the supervisor of testbed `{name}` ended without a word"
                )).hint(format!("its log is {}", logs.join(LOG)))),
            },
            () = interrupts.first.cancelled() => {
                stop(&supervisor);
                break Err(Failure::interrupted());
            }
        }
    };
    live.end();
    if let Err(failure) = result {
        // It has nothing left to do but to remove what it had made.
        let _ = tokio::task::spawn_blocking(move || supervisor.wait()).await;
        return Err(failure);
    }
    let state = home.load(&name)?;
    printer.note(&format!(
        "testbed `{name}` is up; `claimcheck down --name {name}` takes it down"
    ));
    printer.data(&format!("KUBECONFIG={}\n", state.cluster.kubeconfig))?;
    Ok(Ended::Done)
}

/// Starts the supervisor. It leaves this terminal's session by itself.
fn spawn(
    name: &str,
    subject: &str,
    parts: &Parts,
    parts_ms: u64,
    logs: &Utf8Path,
) -> Result<Child, Failure> {
    let log: File = fs_err::File::create(logs.join(LOG))
        .map_err(Failure::testbed)?
        .into_parts()
        .0;
    let mut command = Command::new(this_program()?);
    command
        .args([
            "supervise",
            "--name",
            name,
            "--subject",
            subject,
            "--logs",
            logs.as_str(),
        ])
        .args(["--parts-ms", &parts_ms.to_string()])
        // Found a moment ago; the supervisor searches nothing.
        .args([
            "--parts",
            &serde_json::to_string(parts).map_err(Failure::defect)?,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    command
        .spawn()
        .context("cannot start the supervisor")
        .map_err(Failure::defect)
}

/// What the supervisor says, until it closes its side.
fn listen(supervisor: &mut Child) -> Result<mpsc::UnboundedReceiver<Word>, Failure> {
    let out = supervisor
        .stdout
        .take()
        .context("the supervisor has no pipe")
        .map_err(Failure::defect)?;
    let (said, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Ok(word) = serde_json::from_str(&line)
                && said.send(word).is_err()
            {
                return;
            }
        }
    });
    Ok(heard)
}

/// Asks the supervisor to end. It was not waited for, so its pid is still its own.
fn stop(supervisor: &Child) {
    if let Ok(pid) = i32::try_from(supervisor.id()) {
        // It may have ended by itself meanwhile.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

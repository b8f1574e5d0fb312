//! Builds from Go modules that pin what they build.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use fs_err as fs;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::MissedTickBehavior;

use super::cache::Staging;
use super::group::{self, ProcessGroup};
use super::platform::Platform;
use super::progress::{Progress, Stage, ToolEvent};

/// A build of the API server takes minutes and says nothing meanwhile.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// So many of the last lines of Go's error output are kept for the error.
const TAIL: usize = 15;

/// What is built, and from what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe<'a> {
    /// What progress calls it.
    pub(crate) name: &'a str,
    pub(crate) go_mod: &'a str,
    pub(crate) go_sum: &'a str,
    /// The package of the command.
    pub(crate) package: &'a str,
    /// The value of `-ldflags`.
    pub(crate) ldflags: &'a str,
}

/// Builds a command into its place in `staging`.
///
/// Each command is a call of its own, also where several come from one module: Go's build cache
/// shares what they have in common, and one call for all of them was measured to be no faster
/// (containerd's three, nothing cached, 2 cores: 111 s in three calls, 124 s in one).
///
/// `go` runs in a process group of its own, which is killed when this future is dropped. Its
/// temporary files are in `staging` too, so they go with it.
///
/// # Errors
/// A text that says why there is no binary: no Go command, or its last words.
pub(crate) async fn build(
    recipe: Recipe<'_>,
    platform: Platform,
    go: &Utf8Path,
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<(), String> {
    let source = staging.aside("module");
    let work = staging.aside("work");
    let prepare = || -> std::io::Result<()> {
        fs::create_dir(&source)?;
        fs::create_dir(&work)?;
        fs::write(source.join("go.mod"), recipe.go_mod)?;
        fs::write(source.join("go.sum"), recipe.go_sum)
    };
    prepare().map_err(|error| format!("cannot write the module: {error}"))?;

    let binary = staging.binary();
    let mut command = Command::new(go);
    command
        .current_dir(&source)
        .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
        .arg(recipe.ldflags)
        .arg("-o")
        .arg(&binary)
        .arg(recipe.package)
        .env("CGO_ENABLED", "0")
        .env("GOOS", platform.os())
        .env("GOARCH", platform.arch())
        .env("GO111MODULE", "on")
        .env("GOTMPDIR", &work)
        // A workspace file above the cache, or flags for other projects, must not change the build.
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    progress.on(
        recipe.name,
        ToolEvent::Started {
            stage: Stage::Build,
            detail: recipe.package.to_owned(),
        },
    );
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such command".to_owned(),
        _ => format!("it does not start: {error}"),
    })?;
    // Declared after the child, so it is dropped before: the group is killed while the leader's
    // number is still its own.
    let mut running = child.id().map(ProcessGroup::new);
    if let Some(id) = child.id() {
        group::record(id, &staging.worker())
            .map_err(|error| format!("cannot note its process: {error}"))?;
    }
    let mut lines = child
        .stderr
        .take()
        .map(|stderr| BufReader::new(stderr).lines());
    let mut tail = VecDeque::new();
    let since = Instant::now();
    let first = tokio::time::Instant::now() + HEARTBEAT;
    let mut heartbeat = tokio::time::interval_at(first, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let status = loop {
        tokio::select! {
            line = next_line(&mut lines) => match line {
                Some(line) => {
                    if tail.len() == TAIL {
                        tail.pop_front();
                    }
                    tail.push_back(line);
                }
                None => lines = None,
            },
            status = child.wait(), if lines.is_none() => break status,
            _ = heartbeat.tick() => progress.on(recipe.name, ToolEvent::StillAt {
                stage: Stage::Build,
                elapsed: since.elapsed(),
                line: tail.back().cloned(),
            }),
        }
    };
    if let Some(running) = running.as_mut() {
        running.ended();
    }
    let status = status.map_err(|error| format!("cannot wait for it: {error}"))?;
    if !status.success() {
        let tail = Vec::from(tail).join(" | ");
        return Err(format!("ended with {status}: {tail}"));
    }
    if !binary.is_file() {
        return Err("ended well but made no binary".to_owned());
    }
    Ok(())
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStderr>>;

/// The next line; `None` at the end of the output, never when there is no output to read.
async fn next_line(lines: &mut Option<Lines>) -> Option<String> {
    match lines {
        // Output that is not UTF-8 counts as its end; the exit status decides.
        Some(lines) => lines.next_line().await.ok().flatten(),
        None => std::future::pending().await,
    }
}

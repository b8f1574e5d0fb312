//! Where images are built: one build at a time, in a directory that is gone afterwards.
//!
//! ```text
//! <cache>/images/.lock           held while something is built
//! <cache>/images/work-<random>/  a recipe at work
//! <cache>/images/<what>.log      the output of a recipe's last run
//! ```

use std::collections::VecDeque;
use std::fs::TryLockError;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval};

use super::Say;
use super::debian;
use super::error::ImageError;
use super::recipe::Recipe;
use crate::docker::{self, LABEL};
use crate::tools::group::{self, ProcessGroup};

const WORK_PREFIX: &str = "work-";
/// The file that notes which process group works in a directory.
const WORKER_FILE: &str = "worker";
/// A blocking lock call could not be given up when the caller is interrupted.
const LOCK_POLL: Duration = Duration::from_millis(100);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// So many of a recipe's last lines are kept for the error.
const TAIL: usize = 12;
/// What a recipe's lines of progress start with.
const PROGRESS: &str = "==> ";

/// The place below the cache.
#[derive(Debug)]
pub(crate) struct Workshop {
    directory: Utf8PathBuf,
}

impl Workshop {
    pub(crate) fn new(directory: Utf8PathBuf) -> Self {
        Self { directory }
    }

    /// Waits until nobody else builds, and removes what dead builds left.
    pub(crate) async fn enter(&self, say: Say<'_>) -> Result<Bench, ImageError> {
        let directory = &self.directory;
        fs::create_dir_all(directory)
            .map_err(|error| ImageError::cache(format!("create {directory}"), error))?;
        let path = directory.join(".lock");
        let file = fs::File::create(&path)
            .map_err(|error| ImageError::cache(format!("create {path}"), error))?;
        let mut waiting = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(ImageError::cache(format!("lock {path}"), error));
                }
            }
            if !waiting {
                say("waiting for another process that builds images");
                waiting = true;
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
        let bench = Bench {
            directory: directory.clone(),
            _lock: file,
        };
        bench.sweep().await?;
        Ok(bench)
    }
}

/// The right to build.
#[derive(Debug)]
pub(crate) struct Bench {
    directory: Utf8PathBuf,
    _lock: fs::File,
}

impl Bench {
    /// Everything that is found belongs to builds that are dead, since this one holds the lock.
    async fn sweep(&self) -> Result<(), ImageError> {
        let prefix = self.directory.join(WORK_PREFIX);
        let list = || -> std::io::Result<Vec<Utf8PathBuf>> {
            let mut dead = Vec::new();
            for entry in self.directory.read_dir_utf8()? {
                let path = entry?.into_path();
                if path.as_str().starts_with(prefix.as_str()) {
                    dead.push(path);
                }
            }
            Ok(dead)
        };
        let dead =
            list().map_err(|error| ImageError::cache(format!("read {}", self.directory), error))?;
        for path in &dead {
            group::kill_recorded(&path.join(WORKER_FILE)).await;
        }
        // A container may have been made after its directory was gone, so the label decides.
        let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}");
        let filter = format!("label={LABEL}");
        let listed =
            docker::run(&["ps", "--all", "--filter", &filter, "--format", &format]).await?;
        for container in labelled_below(&listed, &prefix) {
            tracing::info!(container, "removing what a dead build left");
            docker::run(&["rm", "--force", "--volumes", container]).await?;
        }
        for path in &dead {
            remove(path);
        }
        Ok(())
    }

    /// A new directory with a recipe's files.
    pub(crate) fn work(&self, recipe: &Recipe) -> Result<Work, ImageError> {
        let name = format!("{WORK_PREFIX}{}", uuid::Uuid::new_v4().simple());
        let path = self.directory.join(name);
        let log = self.directory.join(format!("{}.log", recipe.what));
        // Removes the directory, whichever way this goes on.
        let work = Work { path, log };
        let write = || -> std::io::Result<()> {
            fs::create_dir(&work.path)?;
            for (name, text) in recipe.files {
                fs::write(work.path.join(name), text)?;
            }
            Ok(())
        };
        write().map_err(|error| ImageError::cache(format!("write to {}", work.path), error))?;
        Ok(work)
    }
}

/// The containers of a list of `ID LABEL` whose label is a path with that beginning.
fn labelled_below<'a>(listed: &'a str, prefix: &Utf8Path) -> Vec<&'a str> {
    listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, label)| label.starts_with(prefix.as_str()))
        .map(|(id, _)| id)
        .collect()
}

/// What is to be made of a recipe.
pub(crate) struct Order<'a> {
    /// What people call the image.
    pub(crate) title: &'a str,
    /// The image's name.
    pub(crate) tag: &'a str,
    /// The hash of its inputs.
    pub(crate) key: &'a str,
    /// The image to build on, or nothing.
    pub(crate) base: String,
    pub(crate) mirror: &'a str,
    pub(crate) suite: &'a str,
}

/// A directory in which a recipe is at work. Dropping it ends the work and removes what it left.
#[derive(Debug)]
pub(crate) struct Work {
    path: Utf8PathBuf,
    log: Utf8PathBuf,
}

impl Work {
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Runs the recipe, with variables of its own beside those that every recipe gets. Its process
    /// group is killed when the future is dropped.
    pub(crate) async fn run(
        self,
        order: &Order<'_>,
        variables: &[(&str, String)],
        say: Say<'_>,
    ) -> Result<(), ImageError> {
        let failed = |action: &str, error| ImageError::cache(action, error);
        let mut log = fs::File::create(&self.log).map_err(|error| failed("write a log", error))?;
        let mut child = Command::new("bash")
            // One stream, so that what is said before an error stands before it.
            .args(["-c", "exec bash \"$0\" 2>&1"])
            .arg(self.path.join("build.sh"))
            .current_dir(&self.path)
            .env("WORK", &self.path)
            .env("TAG", order.tag)
            .env("KEY", order.key)
            .env("LABEL", format!("{LABEL}={}", self.path))
            .env("BASE", &order.base)
            .env("MIRROR", order.mirror)
            .env("SUITE", order.suite)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("run bash", error))?;
        // Declared after the child, so it is dropped before: the group is killed while the leader's
        // number is still its own.
        let mut running = child.id().map(ProcessGroup::new);
        if let Some(id) = child.id() {
            group::record(id, &self.path.join(WORKER_FILE))
                .map_err(|error| failed("note the recipe's process", error))?;
        }
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let mut lines = BufReader::new(stdout).split(b'\n');
        let mut tail = VecDeque::new();
        let mut unreached = false;
        let mut step = "starting".to_owned();
        let since = Instant::now();
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        loop {
            tokio::select! {
                line = lines.next_segment() => {
                    // What cannot be read counts as the end; the exit status decides.
                    let Ok(Some(line)) = line else { break };
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    // The log is for people; a full disk shows in the recipe itself.
                    let _ = writeln!(log, "{line}");
                    unreached |= debian::says_unreached(&line);
                    if let Some(next) = line.strip_prefix(PROGRESS) {
                        next.clone_into(&mut step);
                        say(&format!("{}: {step}", order.title));
                        heartbeat.reset();
                    } else if !line.is_empty() {
                        if tail.len() == TAIL {
                            tail.pop_front();
                        }
                        tail.push_back(line);
                    }
                }
                _ = heartbeat.tick() => {
                    say(&format!("{}: {step} ({} s)", order.title, since.elapsed().as_secs()));
                }
            }
        }
        let status = child
            .wait()
            .await
            .map_err(|error| failed("wait for a recipe", error))?;
        if let Some(running) = running.as_mut() {
            running.ended();
        }
        if status.success() {
            say(&format!(
                "{}: built in {} s, {}",
                order.title,
                since.elapsed().as_secs(),
                order.tag
            ));
            return Ok(());
        }
        let what = order.title.to_owned();
        let said = Vec::from(tail).join(" | ");
        let log = self.log.clone();
        Err(if unreached {
            ImageError::Mirror {
                what,
                mirror: debian::described(order.mirror),
                said,
                log,
            }
        } else {
            ImageError::Recipe {
                what,
                status,
                said,
                log,
            }
        })
    }
}

impl Drop for Work {
    /// Blocks for a moment when a build was interrupted: the recipe was killed before it could remove
    /// its container.
    fn drop(&mut self) {
        let filter = format!("label={LABEL}={}", self.path);
        let listed = std::process::Command::new("docker")
            .args(["ps", "--all", "--quiet", "--filter", &filter])
            .stdin(Stdio::null())
            .output();
        let listed = listed.map(|output| output.stdout).unwrap_or_default();
        for container in String::from_utf8_lossy(&listed).split_whitespace() {
            // Should it fail, the next build sweeps.
            let _ = std::process::Command::new("docker")
                .args(["rm", "--force", "--volumes", container])
                .stdin(Stdio::null())
                .output();
        }
        remove(&self.path);
    }
}

/// Removes a directory. A process that was just killed may still finish the system call it is in, so
/// a few tries; what then remains is for the next build.
fn remove(path: &Utf8Path) {
    for _ in 0..5 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => tracing::debug!(%path, %error, "not removed yet"),
        }
    }
    tracing::warn!(%path, "could not be removed, the next build tries again");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containers_of_builds_below_the_same_cache_are_swept() {
        let listed = "one /cache/images/work-1\ntwo /other/images/work-2\nthree \n\
                      four /cache/clusters/default\nfive /cache/images/work-3";
        assert_eq!(
            labelled_below(listed, Utf8Path::new("/cache/images/work-")),
            ["one", "five"]
        );
    }
}

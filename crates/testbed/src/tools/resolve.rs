//! Getting every tool from the first source that has it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Instant;

use camino::Utf8Path;
use futures::future::try_join_all;
use tokio::sync::Semaphore;

use super::build::{self, Recipe};
use super::cache::{Cache, Found, Key, Lock, Source};
use super::download::{Downloader, Failure};
use super::error::{Attempt, ToolError};
use super::options::ToolOptions;
use super::progress::{Progress, Stage, ToolEvent};
use super::set::{Origin, ResolvedTool, ToolSet, ToolState, ToolStatus};
use super::tool::Tool;
use super::versions::{self, Unpack};
use super::{archive, modules};

/// So many downloads at once.
const DOWNLOADS: usize = 4;

/// The way to tools.
#[derive(Debug, Clone, Copy)]
pub struct Tools;

impl Tools {
    /// Gets every wanted tool from the first source that has it: a given path, the cache, the
    /// official download, a build. Downloads run side by side, builds one after the other.
    ///
    /// Cancel safe: dropping the future stops what is under way and removes what it had written;
    /// tools that were finished stay in the cache.
    ///
    /// # Errors
    /// [`ToolError::Given`] for a path of no use, [`ToolError::WrongChecksum`] for a download that
    /// is not what was published, [`ToolError::Unavailable`] when no source has a tool, and
    /// [`ToolError::Cache`] when the cache cannot be used.
    ///
    /// # Panics
    /// When a download is needed and no rustls provider is installed in the process.
    pub async fn resolve(
        options: &ToolOptions,
        progress: &dyn Progress,
    ) -> Result<ToolSet, ToolError> {
        let cache = Cache::tools(&options.cache, options.platform);
        let mut set = BTreeMap::new();
        let mut absent = Vec::new();
        for &tool in &options.wanted {
            // Named twice, for instance by two lists put together: a tool's lock is taken once.
            if set.contains_key(&tool) || absent.contains(&tool) {
                continue;
            }
            if let Some(path) = options.paths.get(&tool) {
                set.insert(tool, given(tool, path)?);
            } else {
                match cache.find(&tool.into()) {
                    Found::Entry { path, record } => {
                        set.insert(tool, ResolvedTool::cached(tool, path, record));
                    }
                    Found::Damaged(problem) => {
                        let warning = format!("replacing the cached one: {problem}");
                        progress.on(tool.name(), ToolEvent::Warning(warning));
                        absent.push(tool);
                    }
                    Found::Nothing => absent.push(tool),
                }
            }
        }
        if absent.is_empty() {
            return Ok(ToolSet(set));
        }
        let run = Run {
            options,
            cache,
            progress,
            downloader: if options.download {
                Some(Downloader::new(options)?)
            } else {
                None
            },
            slots: Semaphore::new(DOWNLOADS),
        };
        let groups = run.groups(&absent);
        let searches = try_join_all(groups.iter().map(|group| run.search(group))).await?;
        let mut failed = BTreeMap::new();
        for (tool, search) in searches.into_iter().flatten() {
            match search {
                Search::Found(resolved) => {
                    set.insert(tool, resolved);
                }
                Search::Failed(attempts) => {
                    failed.insert(tool, attempts);
                }
            }
        }
        for tool in absent {
            if let Some(attempts) = failed.remove(&tool) {
                set.insert(tool, run.build(tool, attempts).await?);
            }
        }
        Ok(ToolSet(set))
    }

    /// What is there of every wanted tool, from given paths and the cache alone. With `verify`, the
    /// sha256 of each cached binary is computed and compared, which takes a while and blocks.
    ///
    /// # Errors
    /// [`ToolError::Given`] for a path of no use.
    pub fn list(options: &ToolOptions, verify: bool) -> Result<Vec<ToolStatus>, ToolError> {
        let cache = Cache::tools(&options.cache, options.platform);
        options
            .wanted
            .iter()
            .map(|&tool| {
                let status = if let Some(path) = options.paths.get(&tool) {
                    ToolState::Present(given(tool, path)?)
                } else {
                    let found = if verify {
                        cache.verify(&tool.into())
                    } else {
                        cache.find(&tool.into())
                    };
                    match found {
                        Found::Nothing => ToolState::Missing,
                        Found::Damaged(problem) => ToolState::Damaged { problem },
                        Found::Entry { path, record } => {
                            ToolState::Present(ResolvedTool::cached(tool, path, record))
                        }
                    }
                };
                Ok(ToolStatus {
                    tool,
                    wanted: versions::version(tool),
                    status,
                })
            })
            .collect()
    }
}

fn given(tool: Tool, path: &Utf8Path) -> Result<ResolvedTool, ToolError> {
    let refuse = |problem: String| ToolError::Given {
        tool,
        path: path.to_owned(),
        problem,
    };
    let absolute = camino::absolute_utf8(path).map_err(|error| refuse(error.to_string()))?;
    let seen = absolute
        .metadata()
        .map_err(|error| refuse(error.to_string()))?;
    if !seen.is_file() {
        return Err(refuse("it is not a file".to_owned()));
    }
    if seen.permissions().mode() & 0o111 == 0 {
        return Err(refuse("it is not executable".to_owned()));
    }
    Ok(ResolvedTool {
        tool,
        path: absolute,
        version: None,
        origin: Origin::Given,
        size: seen.len(),
        from: None,
    })
}

enum Search {
    Found(ResolvedTool),
    Failed(Vec<Attempt>),
}

struct Run<'a> {
    options: &'a ToolOptions,
    cache: Cache,
    progress: &'a dyn Progress,
    downloader: Option<Downloader>,
    slots: Semaphore,
}

impl Run<'_> {
    /// The tools by their download: those that lie in the same archive are together.
    fn groups(&self, tools: &[Tool]) -> Vec<Vec<Tool>> {
        let mut groups: Vec<(_, Vec<Tool>)> = Vec::new();
        for &tool in tools {
            let address = versions::download(tool, self.options.platform).address;
            match groups.iter_mut().find(|(known, _)| *known == address) {
                Some((_, group)) => group.push(tool),
                None => groups.push((address, vec![tool])),
            }
        }
        groups
            .into_iter()
            .map(|(_, mut group)| {
                group.sort();
                group
            })
            .collect()
    }

    /// Everything that is cheap, for tools that lie in one download.
    ///
    /// Holds the locks of these tools only, and takes them in the order of [`Tool`]: two runs that
    /// want the same tools in another order, or only some of them, do not block each other.
    async fn search(&self, group: &[Tool]) -> Result<Vec<(Tool, Search)>, ToolError> {
        let since = Instant::now();
        let _slot = self
            .slots
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let mut answers = Vec::new();
        let mut missing = Vec::new();
        for &tool in group {
            let key = Key::from(tool);
            let lock = self.cache.lock(&key, self.progress).await?;
            match self.cache.find(&key) {
                Found::Entry { path, record } => {
                    let resolved = ResolvedTool::cached(tool, path, record);
                    self.finished(&resolved, since);
                    answers.push((tool, Search::Found(resolved)));
                }
                Found::Damaged(_) | Found::Nothing => missing.push((tool, lock)),
            }
        }
        let Some((leader, _)) = missing.first() else {
            return Ok(answers);
        };
        let found = match &self.downloader {
            Some(downloader) => self.download(&missing, downloader).await,
            None => Err(Failure::Skipped("switched off".to_owned())),
        };
        let reason = match found {
            Ok(found) => {
                for resolved in found {
                    self.finished(&resolved, since);
                    answers.push((resolved.tool, Search::Found(resolved)));
                }
                return Ok(answers);
            }
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Skipped(reason)) => reason,
            Err(Failure::Unavailable(reason)) => {
                let warning = ToolEvent::Warning(format!("no official download: {reason}"));
                self.progress.on(leader.name(), warning);
                reason
            }
        };
        for (tool, _) in &missing {
            let attempt = Attempt {
                source: "download".to_owned(),
                reason: reason.clone(),
            };
            answers.push((*tool, Search::Failed(vec![attempt])));
        }
        Ok(answers)
    }

    /// Downloads once, in the name of the first tool, and stores each of `wanted`, which lie in
    /// that download.
    async fn download(
        &self,
        wanted: &[(Tool, Arc<Lock>)],
        downloader: &Downloader,
    ) -> Result<Vec<ResolvedTool>, Failure> {
        let platform = self.options.platform;
        let mut staged = Vec::new();
        for (tool, lock) in wanted {
            staged.push((*tool, lock.stage().map_err(Failure::Refused)?));
        }
        let Some((leader, place)) = staged.first() else {
            return Ok(Vec::new());
        };
        let download = versions::download(*leader, platform);
        let url = downloader.url(&download.address);
        let target = match &download.unpack {
            Unpack::Plain => place.binary(),
            Unpack::TarGz(_) => place.aside("download"),
        };
        let sum = downloader
            .fetch(*leader, &download, &target, self.progress)
            .await?;
        let mut members = Vec::new();
        for (tool, staging) in &staged {
            if let Unpack::TarGz(member) = versions::download(*tool, platform).unpack {
                members.push((member, staging.binary()));
                let stage = Stage::Unpack;
                let detail = url.clone();
                self.progress
                    .on(tool.name(), ToolEvent::Started { stage, detail });
            }
        }
        if !members.is_empty() {
            let held: Vec<_> = staged.iter().map(|(_, staging)| staging.clone()).collect();
            blocking(move || {
                let extracted = archive::extract(&target, members);
                drop(held);
                extracted
            })
            .await
            .map_err(|reason| Failure::Unavailable(format!("{url}: {reason}")))?;
        }
        let mut found = Vec::new();
        for (tool, staging) in staged {
            let cache = self.cache.clone();
            let (url, sum) = (url.clone(), sum.clone());
            blocking(move || cache.commit(&staging, Source::Download, url, Some(sum)))
                .await
                .map_err(Failure::Refused)?;
            found.push(self.committed(tool).map_err(Failure::Refused)?);
        }
        Ok(found)
    }

    async fn build(
        &self,
        tool: Tool,
        mut attempts: Vec<Attempt>,
    ) -> Result<ResolvedTool, ToolError> {
        let since = Instant::now();
        let version = versions::version(tool);
        let source = format!("build with `{}`", self.options.go);
        if self.options.build {
            let key = Key::from(tool);
            let lock = self.cache.lock(&key, self.progress).await?;
            if let Found::Entry { path, record } = self.cache.find(&key) {
                let resolved = ResolvedTool::cached(tool, path, record);
                self.finished(&resolved, since);
                return Ok(resolved);
            }
            let staging = lock.stage()?;
            let module = modules::module(tool);
            let recipe = Recipe {
                name: tool.name(),
                go_mod: module.go_mod,
                go_sum: module.go_sum,
                package: &module.package,
                ldflags: &module.ldflags(),
            };
            let platform = self.options.platform;
            let go = &self.options.go;
            match build::build(recipe, platform, go, &staging, self.progress).await {
                Ok(()) => {
                    let from = format!("{}@{version}", module.package);
                    let cache = self.cache.clone();
                    blocking(move || cache.commit(&staging, Source::Build, from, None)).await?;
                    let resolved = self.committed(tool)?;
                    self.finished(&resolved, since);
                    return Ok(resolved);
                }
                Err(reason) => attempts.push(Attempt { source, reason }),
            }
        } else {
            attempts.push(Attempt {
                source,
                reason: "switched off".to_owned(),
            });
        }
        Err(ToolError::Unavailable {
            tool,
            version,
            attempts,
        })
    }

    /// Reads back what was just stored, so that what is returned is what the next run will see.
    fn committed(&self, tool: Tool) -> Result<ResolvedTool, ToolError> {
        let (path, record) = self.cache.committed(&tool.into())?;
        Ok(ResolvedTool::cached(tool, path, record))
    }

    fn finished(&self, resolved: &ResolvedTool, since: Instant) {
        self.progress.on(
            resolved.tool.name(),
            ToolEvent::Finished {
                origin: resolved.origin,
                elapsed: since.elapsed(),
            },
        );
    }
}

/// Runs what blocks on a thread for that; a panic there goes on here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => panic!("the runtime is shutting down: {error}"),
    }
}

//! Getting every tool from the first source that has it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::try_join_all;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::cache::{Cache, CacheRecord, Found, Lock, Source};
use super::download::{Downloader, Failure};
use super::error::{Attempt, ToolError};
use super::options::ToolOptions;
use super::progress::{Progress, Stage, ToolEvent};
use super::tool::Tool;
use super::versions::{self, Unpack};
use super::{archive, build};

/// So many downloads at once.
const DOWNLOADS: usize = 4;

/// Where a tool came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The user gave its path; nothing is known of its version.
    Given,
    /// The official download, now or earlier.
    Download,
    /// A build from the Go module, now or earlier.
    Build,
}

impl Origin {
    /// The origin as a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Download => "download",
            Self::Build => "build",
        }
    }
}

impl From<Source> for Origin {
    fn from(source: Source) -> Self {
        match source {
            Source::Download => Self::Download,
            Source::Build => Self::Build,
        }
    }
}

/// A tool that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResolvedTool {
    /// Which tool.
    pub tool: Tool,
    /// Its binary, an absolute path.
    pub path: Utf8PathBuf,
    /// Its version with a leading `v`; unknown for a path the user gave.
    pub version: Option<String>,
    /// Where it came from.
    pub origin: Origin,
    /// Size in bytes.
    pub size: u64,
    /// The address of the download or the Go package; none for a path the user gave.
    pub from: Option<String>,
}

impl ResolvedTool {
    fn cached(tool: Tool, path: Utf8PathBuf, record: CacheRecord) -> Self {
        Self {
            tool,
            path,
            version: Some(record.version),
            origin: record.source.into(),
            size: record.size,
            from: Some(record.from),
        }
    }
}

/// The tools that were wanted, all of them.
#[derive(Debug, Clone, Default)]
pub struct ToolSet(BTreeMap<Tool, ResolvedTool>);

impl ToolSet {
    /// The absolute path of a tool's binary.
    ///
    /// # Panics
    /// When the tool was not among those wanted.
    pub fn path(&self, tool: Tool) -> &Utf8Path {
        &self.get(tool).expect("the tool was resolved").path
    }

    /// A tool, if it was among those wanted.
    pub fn get(&self, tool: Tool) -> Option<&ResolvedTool> {
        self.0.get(&tool)
    }

    /// All tools, in the order of [`Tool::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &ResolvedTool> {
        self.0.values()
    }
}

/// What is there of a tool, without getting it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ToolState {
    /// Ready to be used.
    Present(ResolvedTool),
    /// Neither given nor in the cache.
    Missing,
    /// In the cache, but not as it was left; it is replaced when it is next resolved.
    Damaged {
        /// What is wrong with it.
        problem: String,
    },
}

/// A line of the list of tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolStatus {
    /// Which tool.
    pub tool: Tool,
    /// The version that is wanted, with a leading `v`.
    pub wanted: &'static str,
    /// What is there.
    pub status: ToolState,
}

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
        let cache = Cache::new(&options.cache, options.platform);
        let mut set = BTreeMap::new();
        let mut absent = Vec::new();
        for &tool in &options.wanted {
            if let Some(path) = options.paths.get(&tool) {
                set.insert(tool, given(tool, path)?);
            } else {
                match cache.find(tool) {
                    Found::Entry { path, record } => {
                        set.insert(tool, ResolvedTool::cached(tool, path, record));
                    }
                    Found::Damaged(problem) => {
                        progress.on(
                            tool,
                            ToolEvent::Warning(format!("replacing the cached one: {problem}")),
                        );
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
        let searches = try_join_all(absent.into_iter().map(|tool| run.search(tool))).await?;
        for (tool, search) in searches {
            let resolved = match search {
                Search::Found(resolved) => resolved,
                Search::Failed(attempts) => run.build(tool, attempts).await?,
            };
            set.insert(tool, resolved);
        }
        Ok(ToolSet(set))
    }

    /// What is there of every wanted tool, from given paths and the cache alone. With `verify`, the
    /// sha256 of each cached binary is computed and compared, which takes a while and blocks.
    ///
    /// # Errors
    /// [`ToolError::Given`] for a path of no use.
    pub fn list(options: &ToolOptions, verify: bool) -> Result<Vec<ToolStatus>, ToolError> {
        let cache = Cache::new(&options.cache, options.platform);
        options
            .wanted
            .iter()
            .map(|&tool| {
                let status = if let Some(path) = options.paths.get(&tool) {
                    ToolState::Present(given(tool, path)?)
                } else {
                    let found = if verify {
                        cache.verify(tool)
                    } else {
                        cache.find(tool)
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

fn no_download(reason: String) -> Search {
    Search::Failed(vec![Attempt {
        source: "download".to_owned(),
        reason,
    }])
}

struct Run<'a> {
    options: &'a ToolOptions,
    cache: Cache,
    progress: &'a dyn Progress,
    downloader: Option<Downloader>,
    slots: Semaphore,
}

impl Run<'_> {
    /// Everything that is cheap. Holds the lock of one tool only, and waits for none while it does,
    /// so two runs that want the same tools in another order do not block each other.
    async fn search(&self, tool: Tool) -> Result<(Tool, Search), ToolError> {
        let since = Instant::now();
        let _slot = self
            .slots
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let lock = self.cache.lock(tool, self.progress).await?;
        if let Found::Entry { path, record } = self.cache.find(tool) {
            let resolved = ResolvedTool::cached(tool, path, record);
            self.finished(&resolved, since);
            return Ok((tool, Search::Found(resolved)));
        }
        let Some(downloader) = &self.downloader else {
            return Ok((tool, no_download("switched off".to_owned())));
        };
        match self.download(tool, downloader, &lock).await {
            Ok(resolved) => {
                self.finished(&resolved, since);
                Ok((tool, Search::Found(resolved)))
            }
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Skipped(reason)) => Ok((tool, no_download(reason))),
            Err(Failure::Unavailable(reason)) => {
                self.progress.on(
                    tool,
                    ToolEvent::Warning(format!("no official download: {reason}")),
                );
                Ok((tool, no_download(reason)))
            }
        }
    }

    async fn download(
        &self,
        tool: Tool,
        downloader: &Downloader,
        lock: &Arc<Lock>,
    ) -> Result<ResolvedTool, Failure> {
        let download = versions::download(tool, self.options.platform);
        let url = downloader.url(&download.address);
        let staging = lock.stage().map_err(Failure::Refused)?;
        let target = match &download.unpack {
            Unpack::Plain => staging.binary(tool),
            Unpack::TarGz(_) => staging.aside("download"),
        };
        let sum = downloader
            .fetch(tool, &download, &target, self.progress)
            .await?;
        if let Unpack::TarGz(member) = download.unpack {
            self.progress.on(
                tool,
                ToolEvent::Started {
                    stage: Stage::Unpack,
                    detail: url.clone(),
                },
            );
            let held = Arc::clone(&staging);
            blocking(move || archive::extract(&target, &member, &held.binary(tool)))
                .await
                .map_err(|reason| Failure::Unavailable(format!("{url}: {reason}")))?;
        }
        let cache = self.cache.clone();
        blocking(move || cache.commit(tool, &staging, Source::Download, url, Some(sum)))
            .await
            .map_err(Failure::Refused)?;
        self.committed(tool).map_err(Failure::Refused)
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
            let lock = self.cache.lock(tool, self.progress).await?;
            if let Found::Entry { path, record } = self.cache.find(tool) {
                let resolved = ResolvedTool::cached(tool, path, record);
                self.finished(&resolved, since);
                return Ok(resolved);
            }
            let staging = lock.stage()?;
            let module = versions::module(tool);
            let platform = self.options.platform;
            let go = &self.options.go;
            match build::build(tool, &module, platform, go, &staging, self.progress).await {
                Ok(()) => {
                    let from = format!("{}@{version}", module.package);
                    let cache = self.cache.clone();
                    blocking(move || cache.commit(tool, &staging, Source::Build, from, None))
                        .await?;
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
        match self.cache.find(tool) {
            Found::Entry { path, record } => Ok(ResolvedTool::cached(tool, path, record)),
            Found::Damaged(problem) => Err(ToolError::cache(
                format!("read back {tool}"),
                std::io::Error::other(problem),
            )),
            Found::Nothing => Err(ToolError::cache(
                format!("read back {tool}"),
                std::io::Error::other("its entry has vanished"),
            )),
        }
    }

    fn finished(&self, resolved: &ResolvedTool, since: Instant) {
        self.progress.on(
            resolved.tool,
            ToolEvent::Finished {
                origin: resolved.origin,
                elapsed: since.elapsed(),
            },
        );
    }
}

/// Runs what blocks on a thread for that; a panic there goes on here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => panic!("the runtime is shutting down: {error}"),
    }
}

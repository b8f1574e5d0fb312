//! The tool cache on disk.
//!
//! ```text
//! <cache>/tools/<name>/<version>-<os>-<arch>/<name>         the binary
//! <cache>/tools/<name>/<version>-<os>-<arch>/origin.json    where it came from
//! <cache>/tools/<name>/.lock                                held while the tool is being made
//! <cache>/tools/<name>/.staging-<random>/                   where it is being made
//! ```
//!
//! An entry appears by one rename, complete or not at all. Staging directories are made only by who
//! holds the lock, so whoever gets the lock may remove all it finds: they belong to dead runs. The
//! lock is flock(2) on an open file, which ends with its process however that ends.

use std::fs::TryLockError;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::error::ToolError;
use super::platform::Platform;
use super::progress::{Progress, Stage, ToolEvent};
use super::tool::Tool;
use super::{checksum, group, versions};

const STAGING_PREFIX: &str = ".staging-";
const RECORD_FILE: &str = "origin.json";
/// The file in a staging directory that notes which process group works in it.
const WORKER_FILE: &str = "worker";

/// A blocking lock call could not be given up when the caller is interrupted, so it is asked for
/// again and again.
const LOCK_POLL: Duration = Duration::from_millis(100);
const LOCK_REPORT: Duration = Duration::from_secs(4);

/// Which source made a cache entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The official download.
    Download,
    /// A build from the Go module.
    Build,
}

/// What `origin.json` beside a cached binary says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CacheRecord {
    /// The tool's name.
    pub tool: String,
    /// Its version, with a leading `v`.
    pub version: String,
    /// Operating system and processor, joined by a hyphen.
    pub platform: String,
    /// Which source made it.
    pub source: Source,
    /// The address it was downloaded from, or the Go package with its version.
    pub from: String,
    /// The sha256 of the download as published, which for an archive is not that of the binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_sha256: Option<String>,
    /// The sha256 of the binary, in hexadecimal.
    pub sha256: String,
    /// The size of the binary in bytes.
    pub size: u64,
    /// When it was made.
    pub made: jiff::Timestamp,
}

/// What the cache holds of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// There is an entry, but not as it was left.
    Damaged(String),
    Entry {
        path: Utf8PathBuf,
        record: CacheRecord,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: Utf8PathBuf,
    platform: Platform,
}

impl Cache {
    /// The cache in the directory `tools` of claimcheck's cache directory.
    pub(crate) fn new(directory: &Utf8Path, platform: Platform) -> Self {
        Self {
            root: directory.join("tools"),
            platform,
        }
    }

    fn directory(&self, tool: Tool) -> Utf8PathBuf {
        self.root.join(tool.name())
    }

    fn entry(&self, tool: Tool) -> Utf8PathBuf {
        let version = versions::version(tool);
        self.directory(tool)
            .join(format!("{version}-{}", self.platform))
    }

    /// Looks a tool up by what is cheap to see: the record reads, and the binary is an executable
    /// file of the recorded size.
    pub(crate) fn find(&self, tool: Tool) -> Found {
        let entry = self.entry(tool);
        if !entry.exists() {
            return Found::Nothing;
        }
        let path = entry.join(tool.name());
        let record = match fs::read_to_string(entry.join(RECORD_FILE)) {
            Ok(text) => match serde_json::from_str::<CacheRecord>(&text) {
                Ok(record) => record,
                Err(error) => {
                    return Found::Damaged(format!("{entry}/{RECORD_FILE} does not read: {error}"));
                }
            },
            Err(error) => return Found::Damaged(error.to_string()),
        };
        match fs::metadata(&path) {
            Err(error) => Found::Damaged(error.to_string()),
            Ok(seen) if seen.len() != record.size => Found::Damaged(format!(
                "{path} has {} bytes, its record says {}",
                seen.len(),
                record.size
            )),
            Ok(seen) if seen.permissions().mode() & 0o111 == 0 => {
                Found::Damaged(format!("{path} is not executable"))
            }
            Ok(_) => Found::Entry { path, record },
        }
    }

    /// Waits until no other run works on `tool`, and removes what dead runs left.
    pub(crate) async fn lock(
        &self,
        tool: Tool,
        progress: &dyn Progress,
    ) -> Result<Arc<Lock>, ToolError> {
        let directory = self.directory(tool);
        fs::create_dir_all(&directory)
            .map_err(|error| ToolError::cache(format!("create {directory}"), error))?;
        let path = directory.join(".lock");
        let file = fs::File::create(&path)
            .map_err(|error| ToolError::cache(format!("create {path}"), error))?;
        let since = Instant::now();
        let mut reported = None::<Instant>;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(ToolError::cache(format!("lock {path}"), error));
                }
            }
            match reported {
                None => progress.on(
                    tool,
                    ToolEvent::Started {
                        stage: Stage::Waiting,
                        detail: "another run is getting it".to_owned(),
                    },
                ),
                Some(last) if last.elapsed() >= LOCK_REPORT => progress.on(
                    tool,
                    ToolEvent::StillAt {
                        stage: Stage::Waiting,
                        elapsed: since.elapsed(),
                        line: None,
                    },
                ),
                Some(_) => {
                    tokio::time::sleep(LOCK_POLL).await;
                    continue;
                }
            }
            reported = Some(Instant::now());
        }
        let lock = Arc::new(Lock {
            directory,
            _file: file,
        });
        lock.sweep().await?;
        Ok(lock)
    }

    /// Puts what `staging` holds in the place of the tool's entry. The binary must be at
    /// [`Staging::binary`] already.
    ///
    /// Blocks: it computes the binary's sha256 and writes it through to the disk, since after a
    /// power failure a renamed file may otherwise be empty.
    pub(crate) fn commit(
        &self,
        tool: Tool,
        staging: &Staging,
        source: Source,
        from: String,
        download_sha256: Option<String>,
    ) -> Result<CacheRecord, ToolError> {
        let write = || -> std::io::Result<CacheRecord> {
            let binary = staging.binary(tool);
            fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))?;
            let record = CacheRecord {
                tool: tool.name().to_owned(),
                version: versions::version(tool).to_owned(),
                platform: self.platform.to_string(),
                source,
                from,
                download_sha256,
                sha256: checksum::of_file(&binary)?,
                size: fs::metadata(&binary)?.len(),
                made: jiff::Timestamp::now(),
            };
            fs::File::open(&binary)?.sync_all()?;
            let mut text = serde_json::to_string_pretty(&record)?;
            text.push('\n');
            fs::write(staging.entry().join(RECORD_FILE), text)?;
            let entry = self.entry(tool);
            if entry.exists() {
                // A damaged one: a directory cannot be renamed over another that is not empty.
                fs::rename(&entry, staging.path.join("damaged"))?;
            }
            fs::rename(staging.entry(), &entry)?;
            Ok(record)
        };
        write().map_err(|error| ToolError::cache(format!("store {tool}"), error))
    }

    /// Computes the sha256 of a cached binary and compares it with its record. Blocks.
    pub(crate) fn verify(&self, tool: Tool) -> Found {
        match self.find(tool) {
            Found::Entry { path, record } => match checksum::of_file(&path) {
                Ok(sum) if sum == record.sha256 => Found::Entry { path, record },
                Ok(sum) => Found::Damaged(format!(
                    "{path} has sha256 {sum}, its record says {}",
                    record.sha256
                )),
                Err(error) => Found::Damaged(error.to_string()),
            },
            other => other,
        }
    }
}

/// The right to make one tool; released when the last reference is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    directory: Utf8PathBuf,
    _file: fs::File,
}

impl Lock {
    async fn sweep(&self) -> Result<(), ToolError> {
        let list = || -> std::io::Result<Vec<Utf8PathBuf>> {
            let mut dead = Vec::new();
            for entry in self.directory.read_dir_utf8()? {
                let entry = entry?;
                if entry.file_name().starts_with(STAGING_PREFIX) {
                    dead.push(entry.path().to_owned());
                }
            }
            Ok(dead)
        };
        let dead =
            list().map_err(|error| ToolError::cache(format!("read {}", self.directory), error))?;
        for path in dead {
            group::kill_recorded(&path.join(WORKER_FILE)).await;
            tracing::info!(%path, "removing what a dead run left");
            remove(&path);
        }
        Ok(())
    }

    /// Makes a staging directory, on the same file system as the entries.
    pub(crate) fn stage(self: &Arc<Self>) -> Result<Arc<Staging>, ToolError> {
        let path = self
            .directory
            .join(format!("{STAGING_PREFIX}{}", uuid::Uuid::new_v4().simple()));
        let staging = Staging {
            path,
            _lock: Arc::clone(self),
        };
        fs::create_dir_all(staging.entry())
            .map_err(|error| ToolError::cache(format!("create {}", staging.path), error))?;
        Ok(Arc::new(staging))
    }
}

/// A directory in which a tool is being made; removed when the last reference is dropped. It keeps
/// the lock, so blocking work that outlives its caller is still alone.
#[derive(Debug)]
pub(crate) struct Staging {
    path: Utf8PathBuf,
    _lock: Arc<Lock>,
}

impl Staging {
    fn entry(&self) -> Utf8PathBuf {
        self.path.join("entry")
    }

    /// Where the finished binary belongs.
    pub(crate) fn binary(&self, tool: Tool) -> Utf8PathBuf {
        self.entry().join(tool.name())
    }

    /// A path of that name for what is needed on the way.
    pub(crate) fn aside(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// Where the process group at work is noted.
    pub(crate) fn worker(&self) -> Utf8PathBuf {
        self.path.join(WORKER_FILE)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes a directory. A process that was just killed may still finish the system call it is in
/// and create one more file, so a few tries; what then remains is for the next holder of the lock.
fn remove(path: &Utf8Path) {
    for _ in 0..5 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => tracing::debug!(%path, %error, "not removed yet"),
        }
    }
    tracing::warn!(%path, "could not be removed, the next run tries again");
}

//! The tool cache on disk.
//!
//! ```text
//! <cache>/tools/<name>/<version>-<os>-<arch>/<name>         the binary
//! <cache>/tools/<name>/<version>-<os>-<arch>/origin.json    where it came from
//! <cache>/tools/<name>/.lock                                held while the tool is being made
//! <cache>/tools/<name>/.staging-<random>/                   where it is being made
//! ```
//!
//! Go commands that are no tools of the project lie the same way under `<cache>/modules`, with the
//! hash of what they are built from in the version's place.
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
    /// The name of the binary.
    pub tool: String,
    /// Its version with a leading `v`; for a command that is no tool, the hash of its module.
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

/// What an entry is found by, beside the platform. Both parts are safe as file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl From<Tool> for Key {
    fn from(tool: Tool) -> Self {
        Self {
            name: tool.name().to_owned(),
            version: versions::version(tool).to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: Utf8PathBuf,
    platform: Platform,
}

impl Cache {
    /// The tools, in the directory `tools` of claimcheck's cache directory.
    pub(crate) fn tools(directory: &Utf8Path, platform: Platform) -> Self {
        Self {
            root: directory.join("tools"),
            platform,
        }
    }

    /// Other Go commands, in the directory `modules` of claimcheck's cache directory.
    pub(crate) fn modules(directory: &Utf8Path, platform: Platform) -> Self {
        Self {
            root: directory.join("modules"),
            platform,
        }
    }

    fn directory(&self, key: &Key) -> Utf8PathBuf {
        self.root.join(&key.name)
    }

    fn entry(&self, key: &Key) -> Utf8PathBuf {
        self.directory(key)
            .join(format!("{}-{}", key.version, self.platform))
    }

    /// Looks a binary up by what is cheap to see: the record reads, and the binary is an executable
    /// file of the recorded size.
    pub(crate) fn find(&self, key: &Key) -> Found {
        let entry = self.entry(key);
        if !entry.exists() {
            return Found::Nothing;
        }
        let path = entry.join(&key.name);
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

    /// Waits until no other run works on `key`, and removes what dead runs left.
    pub(crate) async fn lock(
        &self,
        key: &Key,
        progress: &dyn Progress,
    ) -> Result<Arc<Lock>, ToolError> {
        let directory = self.directory(key);
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
                    &key.name,
                    ToolEvent::Started {
                        stage: Stage::Waiting,
                        detail: "another run is getting it".to_owned(),
                    },
                ),
                Some(last) if last.elapsed() >= LOCK_REPORT => progress.on(
                    &key.name,
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
            key: key.clone(),
            directory,
            _file: file,
        });
        lock.sweep().await?;
        Ok(lock)
    }

    /// Puts what `staging` holds in the place of its entry. The binary must be at
    /// [`Staging::binary`] already.
    ///
    /// Blocks: it computes the binary's sha256 and writes it through to the disk, since after a
    /// power failure a renamed file may otherwise be empty.
    pub(crate) fn commit(
        &self,
        staging: &Staging,
        source: Source,
        from: String,
        download_sha256: Option<String>,
    ) -> Result<CacheRecord, ToolError> {
        let key = staging.key();
        let write = || -> std::io::Result<CacheRecord> {
            let binary = staging.binary();
            fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755))?;
            let record = CacheRecord {
                tool: key.name.clone(),
                version: key.version.clone(),
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
            let entry = self.entry(key);
            if entry.exists() {
                // A damaged one: a directory cannot be renamed over another that is not empty.
                fs::rename(&entry, staging.path.join("damaged"))?;
            }
            fs::rename(staging.entry(), &entry)?;
            Ok(record)
        };
        write().map_err(|error| ToolError::cache(format!("store {}", key.name), error))
    }

    /// Reads back what was just stored.
    pub(crate) fn committed(&self, key: &Key) -> Result<(Utf8PathBuf, CacheRecord), ToolError> {
        let problem = match self.find(key) {
            Found::Entry { path, record } => return Ok((path, record)),
            Found::Damaged(problem) => problem,
            Found::Nothing => "its entry has vanished".to_owned(),
        };
        Err(ToolError::cache(
            format!("read back {}", key.name),
            std::io::Error::other(problem),
        ))
    }

    /// Computes the sha256 of a cached binary and compares it with its record. Blocks.
    pub(crate) fn verify(&self, key: &Key) -> Found {
        match self.find(key) {
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

/// The right to make one binary; released when the last reference is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    key: Key,
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
            lock: Arc::clone(self),
        };
        fs::create_dir_all(staging.entry())
            .map_err(|error| ToolError::cache(format!("create {}", staging.path), error))?;
        Ok(Arc::new(staging))
    }
}

/// A directory in which a binary is made; removed when the last reference is dropped. It keeps
/// the lock, so blocking work that outlives its caller is still alone.
#[derive(Debug)]
pub(crate) struct Staging {
    path: Utf8PathBuf,
    lock: Arc<Lock>,
}

impl Staging {
    fn key(&self) -> &Key {
        &self.lock.key
    }

    fn entry(&self) -> Utf8PathBuf {
        self.path.join("entry")
    }

    /// Where the finished binary belongs.
    pub(crate) fn binary(&self) -> Utf8PathBuf {
        self.entry().join(&self.key().name)
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

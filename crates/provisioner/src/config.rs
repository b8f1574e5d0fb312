//! Validated configuration: what the environment variables of nfs-subdir and our flags mean.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::backend::direct::Version;
use crate::class::DirectoryRules;
use crate::operations::Operations;
use crate::path::{Component, RelativePath};

/// The longest export path plus directory a mount request can carry, in bytes (RFC 1813 `MNTPATHLEN`).
pub const MOUNT_PATH_MAX: usize = 1024;

/// A flag or variable that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A setting without which nothing can start.
    #[error("start without {setting}: set it by the flag or the environment variable")]
    Missing {
        /// Flag and variable, as a person writes them.
        setting: &'static str,
    },
    /// A value out of range.
    #[error("take {value:?} for {setting}: {allowed}")]
    Invalid {
        /// Flag and variable.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

impl ConfigError {
    /// The setting it is about.
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Missing { setting } | Self::Invalid { setting, .. } => setting,
        }
    }

    pub(crate) fn invalid(
        setting: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            setting,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}

/// The name classes call a provisioner by, such as `westos.org/nfs`: an optional DNS prefix, a
/// slash, a name (API validation of `StorageClass.provisioner`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProvisionerName(String);

impl ProvisionerName {
    const SETTING: &'static str = "--provisioner-name (PROVISIONER_NAME)";

    /// Checks a name.
    ///
    /// # Errors
    /// [`ConfigError`] when it is empty or no qualified name.
    pub fn new(text: impl Into<String>) -> Result<Self, ConfigError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ConfigError::Missing {
                setting: Self::SETTING,
            });
        }
        let allowed = "a qualified name such as `example.org/nfs`: letters, digits, `-`, `_`, `.`, \
                       at most 63 bytes after the slash and 253 before it";
        let (prefix, name) = text
            .split_once('/')
            .map_or((None, text.as_str()), |(prefix, name)| (Some(prefix), name));
        let well_formed = |part: &str, longest: usize| {
            !part.is_empty()
                && part.len() <= longest
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        if prefix.is_some_and(|prefix| !well_formed(prefix, 253)) || !well_formed(name, 63) {
            return Err(ConfigError::invalid(Self::SETTING, &text, allowed));
        }
        Ok(Self(text))
    }

    /// The name as classes spell it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the lock: every `/` replaced by `-`, as the external-provisioner library does,
    /// in lower case (object names have no capitals).
    pub fn lock_name(&self) -> String {
        self.0.replace('/', "-").to_ascii_lowercase()
    }
}

impl fmt::Display for ProvisionerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The exported path, cleaned once: absolute, no empty component, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExportPath(Vec<String>);

impl ExportPath {
    const SETTING: &'static str = "--nfs-path (NFS_PATH)";

    /// Cleans a path: repeated and trailing slashes and `.` go; `..` is refused.
    ///
    /// # Errors
    /// [`ConfigError`] when it is empty, relative or holds `..`.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        if text.is_empty() {
            return Err(ConfigError::Missing {
                setting: Self::SETTING,
            });
        }
        let allowed = "an absolute path without `..`, at most 1024 bytes";
        if !text.starts_with('/') || text.len() > MOUNT_PATH_MAX || text.contains('\0') {
            return Err(ConfigError::invalid(Self::SETTING, text, allowed));
        }
        let parts: Vec<String> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect();
        if parts.iter().any(|part| part == "..") {
            return Err(ConfigError::invalid(Self::SETTING, text, allowed));
        }
        Ok(Self(parts))
    }

    /// The absolute path of `directory` on the server: what a volume's `nfs.path` holds.
    pub fn join(&self, directory: &RelativePath) -> String {
        let mut text = String::new();
        for part in &self.0 {
            text.push('/');
            text.push_str(part);
        }
        for component in directory.components() {
            text.push('/');
            text.push_str(component.as_str());
        }
        if text.is_empty() {
            "/".to_owned()
        } else {
            text
        }
    }

    /// Whether an absolute path on the server names the export itself.
    pub fn is(&self, path: &str) -> bool {
        Self::new(path).is_ok_and(|path| path == *self)
    }

    /// The directory below the export that an absolute path on the server names, compared by
    /// components, or `None` when it is the export itself, lies elsewhere or is no clean path.
    pub fn below(&self, path: &str) -> Option<RelativePath> {
        if !path.starts_with('/') {
            return None;
        }
        let mut parts = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        for own in &self.0 {
            if parts.next()? != own {
                return None;
            }
        }
        let components = parts
            .map(Component::new)
            .collect::<Result<Vec<_>, _>>()
            .ok()?;
        (!components.is_empty()).then(|| RelativePath::from_components(components))
    }
}

impl fmt::Display for ExportPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.join(&RelativePath::root()))
    }
}

/// What this provisioner is responsible for: claims of a name, volumes on one export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name classes call it by.
    pub provisioner: ProvisionerName,
    /// The server as new volumes spell it, verbatim.
    pub server: String,
    /// Other spellings of the same server on older volumes.
    pub aliases: Vec<String>,
    /// The exported path.
    pub export: ExportPath,
}

impl Target {
    /// Whether a volume's server is this one, by the name new volumes give or an older one.
    pub fn is_server(&self, name: &str) -> bool {
        name == self.server || self.aliases.iter().any(|alias| alias == name)
    }
}

/// What the directory of a new volume looks like (1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryAttributes {
    /// Permission bits, `0..=0o7777`.
    pub mode: u32,
    /// Numeric owner; `None`: whatever the server makes of our identity.
    pub uid: Option<u32>,
    /// Numeric group; likewise.
    pub gid: Option<u32>,
}

impl Default for DirectoryAttributes {
    fn default() -> Self {
        Self {
            mode: 0o777,
            uid: None,
            gid: None,
        }
    }
}

/// What to do about class parameters nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownParameters {
    /// Refuse the class (the volume-provisioning proposal's rule).
    #[default]
    Refuse,
    /// Log a warning and go on, as nfs-subdir does silently: eases a migration.
    Warn,
}

/// The storage backend and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendChoice {
    /// The export as a mounted directory.
    Mount {
        /// Where it is mounted, absolute.
        path: Utf8PathBuf,
        /// Take any file system there, not only NFS.
        allow_any_filesystem: bool,
    },
    /// NFS calls in the process.
    Direct {
        /// The protocol version.
        version: Version,
        /// TCP port of NFS; `None`: ask the port mapper, or 2049 with version 4.
        nfs_port: Option<u16>,
        /// TCP port of MOUNT (RFC 1813, appendix I), version 3 only; `None`: ask the port mapper.
        mount_port: Option<u16>,
        /// Numeric user the server is called as (`AUTH_SYS`).
        uid: u32,
        /// Numeric group, likewise.
        gid: u32,
    },
}

/// Times of the lease (client-go's names).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long others wait after the last renewal they saw.
    pub duration: Duration,
    /// How long the holder acts after its last renewal.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

impl LeaseTimes {
    /// Checks that a holder always stops before others start.
    ///
    /// # Errors
    /// [`ConfigError`] unless duration > renew deadline > retry > 0, in whole seconds for the first.
    pub fn validate(self) -> Result<Self, ConfigError> {
        if self.duration > self.renew_deadline
            && self.renew_deadline > self.retry
            && !self.retry.is_zero()
            && self.duration.as_secs() > 0
        {
            return Ok(self);
        }
        Err(ConfigError::invalid(
            "LEADER_ELECTION_LEASE_DURATION, _RENEW_DEADLINE and _RETRY_PERIOD",
            format!(
                "{:?}, {:?}, {:?}",
                self.duration, self.renew_deadline, self.retry
            ),
            "the duration must exceed the renew deadline, and that the retry period",
        ))
    }
}

/// How many tasks work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// Claims.
    pub provision: usize,
    /// Volumes.
    pub delete: usize,
    /// Trees being removed, so that a huge tree blocks no other deletion.
    pub removal: usize,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            provision: 16,
            delete: 8,
            removal: 4,
        }
    }
}

/// The longest a step may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One API call.
    pub api: Duration,
    /// One storage call.
    pub storage: Duration,
    /// One attempt to provision a claim.
    pub provision: Duration,
    /// The removal of a tree without progress.
    pub removal: Duration,
    /// From the request to stop until work in flight is dropped (it continues from its records).
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            api: Duration::from_secs(10),
            storage: Duration::from_secs(30),
            provision: Duration::from_mins(2),
            removal: Duration::from_mins(2),
            shutdown: Duration::from_secs(20),
        }
    }
}

/// Everything the provisioner is told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name, server and path.
    pub target: Target,
    /// The storage backend.
    pub backend: BackendChoice,
    /// Kubeconfig file; `None`: in the cluster.
    pub kubeconfig: Option<Utf8PathBuf>,
    /// Where the lock lives.
    pub namespace: String,
    /// Who we are in the lock: `<hostname>_<uuid>`.
    pub identity: String,
    /// Whether a lock is taken before anything is done.
    pub leader_election: bool,
    /// Times of the lock.
    pub lease: LeaseTimes,
    /// The deployment's id, when an administrator sets it.
    pub owner: Option<String>,
    /// Mode and owner of new directories.
    pub attributes: DirectoryAttributes,
    /// What counts where a class says nothing about its directories, besides mode and owner.
    pub directories: DirectoryRules,
    /// Unknown class parameters.
    pub unknown_parameters: UnknownParameters,
    /// Tasks at once.
    pub workers: Workers,
    /// Time limits.
    pub limits: Limits,
    /// The HTTP port and the timers.
    pub operations: Operations,
}

/// Go's `strconv.ParseBool`: exactly these twelve spellings, nothing else.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `time.ParseDuration`, without a sign: `15s`, `1m30s`, `1.5h`, `200ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = f64::from_str(&rest[..digits]).ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[end..];
    }
    Some(total)
}

/// An octal mode, `0` to `07777`.
pub fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    if digits.is_empty() || digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
}

/// A numeric owner, `0` to `4294967294`: the largest number means "leave it" to chown(2).
pub fn parse_owner(text: &str) -> Option<u32> {
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests;

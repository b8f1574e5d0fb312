//! The settings: flags with an environment variable each, and their check.
//!
//! `run` takes them, and so does every other command: what a manifest sets holds for all of them.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum, value_parser};

use super::defaults::DefaultsArgs;
use super::glog::GlogArgs;
use super::limits::LimitsArgs;
use crate::backend::direct::Version;
use crate::config::{
    BackendChoice, Config, ConfigError, DirectoryAttributes, ExportPath, LeaseTimes,
    ProvisionerName, Target, UnknownParameters, Workers, parse_bool, parse_duration, parse_mode,
    parse_owner,
};
use crate::operations::OperationsArgs;

/// How the export is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// The export mounted as a directory
    Mount,
    /// NFS calls from this process; no mount
    Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NfsVersionName {
    /// NFSv3
    #[value(name = "3")]
    V3,
    /// NFSv4.1
    #[value(name = "4.1")]
    V41,
    /// NFSv4.2
    #[value(name = "4.2")]
    V42,
}

impl From<NfsVersionName> for Version {
    fn from(name: NfsVersionName) -> Self {
        match name {
            NfsVersionName::V3 => Self::V3,
            NfsVersionName::V41 => Self::V41,
            NfsVersionName::V42 => Self::V42,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UnknownParametersName {
    /// Refuse the claim
    Refuse,
    /// Log a warning and go on
    Warn,
}

/// What `run` takes.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The name classes call this provisioner by, such as example.org/nfs
    #[arg(long, env = "PROVISIONER_NAME")]
    provisioner_name: Option<String>,
    /// The NFS server, as volumes shall name it
    #[arg(long, env = "NFS_SERVER")]
    nfs_server: Option<String>,
    /// Other names of the same server on volumes made earlier, separated by commas
    #[arg(
        long,
        env = "CLAIMCHECK_SERVER_ALIAS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    server_alias: Vec<String>,
    /// The exported path
    #[arg(long, env = "NFS_PATH")]
    nfs_path: Option<String>,
    /// How the export is reached
    #[arg(long, env = "CLAIMCHECK_BACKEND", value_enum, default_value_t = BackendName::Mount)]
    backend: BackendName,
    /// Protocol version of the direct backend; the server is not talked down to another one
    #[arg(long, env = "CLAIMCHECK_NFS_VERSION", value_enum, default_value_t = NfsVersionName::V3)]
    nfs_version: NfsVersionName,
    /// NFS port for the direct backend; without it the port mapper is asked, or 2049 taken for
    /// version 4
    #[arg(long, env = "CLAIMCHECK_NFS_PORT")]
    nfs_port: Option<u16>,
    /// MOUNT port for the direct backend with version 3; without it the port mapper is asked
    #[arg(long, env = "CLAIMCHECK_MOUNT_PORT")]
    mount_port: Option<u16>,
    /// User the direct backend calls the server as; another one than 0 cannot chown, nor remove what
    /// pods of other users keep to themselves
    #[arg(long, env = "CLAIMCHECK_NFS_CLIENT_UID", value_name = "UID", default_value_t = 0, value_parser = value_parser!(u32).range(..i64::from(u32::MAX)))]
    nfs_client_uid: u32,
    /// Group the direct backend calls the server as
    #[arg(long, env = "CLAIMCHECK_NFS_CLIENT_GID", value_name = "GID", default_value_t = 0, value_parser = value_parser!(u32).range(..i64::from(u32::MAX)))]
    nfs_client_gid: u32,
    /// Where the export is mounted, for the mount backend
    #[arg(
        long,
        env = "CLAIMCHECK_MOUNT_PATH",
        default_value = "/persistentvolumes"
    )]
    mount_path: Utf8PathBuf,
    /// Take any file system at the mount path, not only NFS (for tests)
    #[arg(long, env = "CLAIMCHECK_ALLOW_ANY_FILESYSTEM")]
    allow_any_filesystem: bool,
    /// Kubeconfig file; without it the service account of the pod is used
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<Utf8PathBuf>,
    /// Take a lock before doing anything
    #[arg(long, env = "ENABLE_LEADER_ELECTION", default_value = "true", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_election: String,
    /// The namespace of the lock; without it that of the service account, then `default`
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// How long others wait after the last renewal they saw
    #[arg(long, env = "LEADER_ELECTION_LEASE_DURATION", value_name = "DURATION")]
    leader_election_lease_duration: Option<String>,
    /// How long this process acts after its last renewal
    #[arg(long, env = "LEADER_ELECTION_RENEW_DEADLINE", value_name = "DURATION")]
    leader_election_renew_deadline: Option<String>,
    /// Time between two attempts to take or renew the lock
    #[arg(long, env = "LEADER_ELECTION_RETRY_PERIOD", value_name = "DURATION")]
    leader_election_retry_period: Option<String>,
    /// Mode of new directories, octal
    #[arg(long, env = "NFS_DEFAULT_MODE", value_name = "MODE")]
    nfs_default_mode: Option<String>,
    /// Owner of new directories; without it nothing is chowned
    #[arg(long, env = "NFS_DEFAULT_UID", value_name = "UID")]
    nfs_default_uid: Option<String>,
    /// Group of new directories; without it nothing is chowned
    #[arg(long, env = "NFS_DEFAULT_GID", value_name = "GID")]
    nfs_default_gid: Option<String>,
    #[command(flatten)]
    defaults: DefaultsArgs,
    /// The id of this deployment on the export; without it the one kept on the lock
    #[arg(long, env = "CLAIMCHECK_OWNER")]
    owner: Option<String>,
    /// What to do about class parameters nobody knows
    #[arg(long, env = "CLAIMCHECK_UNKNOWN_PARAMETERS", value_enum, default_value_t = UnknownParametersName::Refuse)]
    unknown_parameters: UnknownParametersName,
    /// Claims worked on at once
    #[arg(long, env = "CLAIMCHECK_PROVISION_WORKERS", default_value_t = Workers::default().provision)]
    provision_workers: usize,
    /// Volumes worked on at once
    #[arg(long, env = "CLAIMCHECK_DELETE_WORKERS", default_value_t = Workers::default().delete)]
    delete_workers: usize,
    /// Trees removed at once
    #[arg(long, env = "CLAIMCHECK_REMOVAL_WORKERS", default_value_t = Workers::default().removal)]
    removal_workers: usize,
    #[command(flatten)]
    limits: LimitsArgs,

    #[command(flatten)]
    pub(super) operations: OperationsArgs,

    /// Log level in glog's sense: 4 and more is debug, 6 and more is trace
    #[arg(long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub(super) verbosity: u8,
    #[command(flatten)]
    pub(super) glog: GlogArgs,
}

impl RunArgs {
    /// The exported path as it was given.
    pub(super) fn export_spelling(&self) -> &str {
        self.nfs_path.as_deref().unwrap_or_default()
    }

    /// Checks the arguments.
    ///
    /// # Errors
    /// The first setting that is missing or wrong.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let server = self.nfs_server.clone().unwrap_or_default();
        let target = Target {
            provisioner: ProvisionerName::new(self.provisioner_name.clone().unwrap_or_default())?,
            server: if server.is_empty() {
                return Err(ConfigError::Missing {
                    setting: "--nfs-server (NFS_SERVER)",
                });
            } else {
                server
            },
            aliases: self
                .server_alias
                .iter()
                .map(|alias| alias.trim().to_owned())
                .filter(|alias| !alias.is_empty())
                .collect(),
            export: ExportPath::new(self.nfs_path.as_deref().unwrap_or_default())?,
        };
        let backend = match self.backend {
            BackendName::Mount => {
                if !self.mount_path.is_absolute() {
                    return Err(ConfigError::invalid(
                        "--mount-path",
                        &self.mount_path,
                        "an absolute path",
                    ));
                }
                BackendChoice::Mount {
                    path: self.mount_path.clone(),
                    allow_any_filesystem: self.allow_any_filesystem,
                }
            }
            BackendName::Direct => BackendChoice::Direct {
                version: self.nfs_version.into(),
                nfs_port: self.nfs_port,
                mount_port: self.mount_port,
                uid: self.nfs_client_uid,
                gid: self.nfs_client_gid,
            },
        };
        // Empty means unset, as in nfs-subdir.
        let election = Some(self.leader_election.as_str())
            .filter(|text| !text.is_empty())
            .unwrap_or("true");
        let leader_election = parse_bool(election).ok_or_else(|| {
            ConfigError::invalid(
                "--leader-election (ENABLE_LEADER_ELECTION)",
                &self.leader_election,
                "1, t, T, TRUE, true, True, 0, f, F, FALSE, false or False",
            )
        })?;
        let usual = LeaseTimes::default();
        let lease = LeaseTimes {
            duration: duration(
                "--leader-election-lease-duration (LEADER_ELECTION_LEASE_DURATION)",
                self.leader_election_lease_duration.as_deref(),
                usual.duration,
            )?,
            renew_deadline: duration(
                "--leader-election-renew-deadline (LEADER_ELECTION_RENEW_DEADLINE)",
                self.leader_election_renew_deadline.as_deref(),
                usual.renew_deadline,
            )?,
            retry: duration(
                "--leader-election-retry-period (LEADER_ELECTION_RETRY_PERIOD)",
                self.leader_election_retry_period.as_deref(),
                usual.retry,
            )?,
        }
        .validate()?;
        let workers = Workers {
            provision: self.provision_workers,
            delete: self.delete_workers,
            removal: self.removal_workers,
        };
        if workers.provision == 0 || workers.delete == 0 || workers.removal == 0 {
            return Err(ConfigError::invalid(
                "--provision-workers, --delete-workers and --removal-workers",
                0,
                "at least 1 each",
            ));
        }
        Ok(Config {
            target,
            backend,
            kubeconfig: self
                .kubeconfig
                .clone()
                .filter(|path| !path.as_str().is_empty()),
            namespace: self
                .namespace
                .clone()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(service_account_namespace),
            identity: format!("{}_{}", host_name(), uuid::Uuid::new_v4()),
            leader_election,
            lease,
            owner: self
                .owner
                .clone()
                .filter(|text| !text.is_empty())
                .map(owner)
                .transpose()?,
            attributes: self.attributes()?,
            directories: self.defaults.rules()?,
            unknown_parameters: match self.unknown_parameters {
                UnknownParametersName::Refuse => UnknownParameters::Refuse,
                UnknownParametersName::Warn => UnknownParameters::Warn,
            },
            workers,
            limits: self.limits.limits()?,
            operations: self.operations.settings()?,
        })
    }

    fn attributes(&self) -> Result<DirectoryAttributes, ConfigError> {
        let usual = DirectoryAttributes::default();
        let id = |setting, value: &Option<String>| match value.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => parse_owner(text)
                .map(Some)
                .ok_or_else(|| ConfigError::invalid(setting, text, "0 to 4294967294")),
        };
        Ok(DirectoryAttributes {
            mode: match self.nfs_default_mode.as_deref() {
                None | Some("") => usual.mode,
                Some(text) => parse_mode(text).ok_or_else(|| {
                    ConfigError::invalid(
                        "--nfs-default-mode (NFS_DEFAULT_MODE)",
                        text,
                        "an octal mode, 0 to 07777",
                    )
                })?,
            },
            uid: id("--nfs-default-uid (NFS_DEFAULT_UID)", &self.nfs_default_uid)?,
            gid: id("--nfs-default-gid (NFS_DEFAULT_GID)", &self.nfs_default_gid)?,
        })
    }
}

fn duration(
    setting: &'static str,
    text: Option<&str>,
    usual: std::time::Duration,
) -> Result<std::time::Duration, ConfigError> {
    match text {
        None | Some("") => Ok(usual),
        Some(text) => parse_duration(text)
            .ok_or_else(|| ConfigError::invalid(setting, text, "a duration such as 15s or 1m30s")),
    }
}

/// An owner is a directory name below the state directory and an annotation's value.
fn owner(text: String) -> Result<String, ConfigError> {
    let good = !text.is_empty()
        && text.len() <= 63
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && text != "export-id"
        // Those are drafts of the export's id.
        && !text.starts_with("new-");
    if good {
        Ok(text)
    } else {
        Err(ConfigError::invalid(
            "--owner (CLAIMCHECK_OWNER)",
            text,
            "letters, digits and dashes, at most 63; not `export-id`, nor beginning with `new-`",
        ))
    }
}

/// The namespace of the pod's service account, else `default`.
fn service_account_namespace() -> String {
    std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        .map(|text| text.trim().to_owned())
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "default".to_owned())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|text| text.trim().to_owned())
        .ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

//! Arguments, each with an environment variable, and the two ways in: the binary `nfs-provisioner`
//! and `claimcheck provisioner`.
//!
//! The variables are nfs-subdir's where it has them, so that its manifests start this program
//! unchanged. Its glog flags are taken with one or two dashes; see [`normalise`].

use std::ffi::OsString;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::backend::direct::Version;
use crate::config::{
    BackendChoice, Config, ConfigError, DirectoryAttributes, ExportPath, LeaseTimes, Limits,
    ProvisionerName, Target, UnknownParameters, Workers, parse_bool, parse_duration, parse_mode,
    parse_owner,
};
use crate::error::Error;
use crate::seams::Seams;

/// Gives every claim a directory of its own on one existing NFS export.
#[derive(Clone, Debug, Parser)]
#[command(name = "nfs-provisioner", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    arguments: ProvisionerArgs,
}

/// What `nfs-provisioner` and `claimcheck provisioner` take.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProvisionerArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Serve claims until told to stop (the default)
    Run(RunArgs),
}

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

    /// Log level in glog's sense: 4 and more is debug, 6 and more is trace
    #[arg(long = "v", value_name = "LEVEL", default_value_t = 0)]
    verbosity: u8,
    #[command(flatten)]
    glog: GlogArgs,
}

/// glog's other flags: taken, and ignored with one warning.
#[derive(Clone, Debug, Args)]
struct GlogArgs {
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    alsologtostderr: Option<String>,
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "log_dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_backtrace_at", hide = true)]
    log_backtrace_at: Option<String>,
}

impl GlogArgs {
    fn given(&self) -> Vec<&'static str> {
        [
            ("vmodule", &self.vmodule),
            ("logtostderr", &self.logtostderr),
            ("alsologtostderr", &self.alsologtostderr),
            ("stderrthreshold", &self.stderrthreshold),
            ("log_dir", &self.log_dir),
            ("log_backtrace_at", &self.log_backtrace_at),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect()
    }
}

/// The flags of glog, which Go takes with one dash as well as with two.
const GLOG_FLAGS: [&str; 7] = [
    "v",
    "vmodule",
    "logtostderr",
    "alsologtostderr",
    "stderrthreshold",
    "log_dir",
    "log_backtrace_at",
];

/// Gives glog's flags the two dashes that clap wants; everything else stays as it is. Both binaries
/// pass their arguments through it before parsing.
pub fn normalise(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    arguments
        .into_iter()
        .map(|argument| {
            let Some(text) = argument.to_str() else {
                return argument;
            };
            let Some(flag) = text.strip_prefix('-') else {
                return argument;
            };
            let name = flag.split_once('=').map_or(flag, |(name, _)| name);
            if GLOG_FLAGS.contains(&name) {
                format!("--{flag}").into()
            } else {
                argument
            }
        })
        .collect()
}

impl ProvisionerArgs {
    /// The arguments of the command given, or of `run`.
    pub fn run_args(&self) -> &RunArgs {
        match &self.command {
            Some(Command::Run(arguments)) => arguments,
            None => &self.run,
        }
    }
}

impl RunArgs {
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
            owner: self.owner.clone().map(owner).transpose()?,
            attributes: self.attributes()?,
            unknown_parameters: match self.unknown_parameters {
                UnknownParametersName::Refuse => UnknownParameters::Refuse,
                UnknownParametersName::Warn => UnknownParameters::Warn,
            },
            workers,
            limits: Limits::default(),
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
        && text != "export-id";
    if good {
        Ok(text)
    } else {
        Err(ConfigError::invalid(
            "--owner (CLAIMCHECK_OWNER)",
            text,
            "letters, digits and dashes, at most 63",
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

/// Sends logs to stderr: `RUST_LOG` if it is set, else the level that `-v` means.
///
/// # Errors
/// [`Error::Logging`] when a subscriber is installed already.
pub fn init_logging(arguments: &ProvisionerArgs) -> Result<(), Error> {
    let level = match arguments.run_args().verbosity {
        0..=3 => "info,kube_client=error,nfs_rs=error",
        4..=5 => "info,nfs_rs=error,provisioner=debug",
        _ => "info,provisioner=trace,kube=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| Error::Logging(error.to_string()))
}

/// Runs what was asked for, until SIGTERM, SIGINT or a fatal error. The caller has installed a
/// rustls provider and, if it wants logs, a subscriber ([`init_logging`]).
///
/// # Errors
/// Whatever ends the provisioner before it is asked to stop; [`Error::exit_code`] says what a
/// process makes of it.
///
/// # Access control
/// The rules listed in [`crate::access::RULES`].
pub async fn run(arguments: ProvisionerArgs) -> Result<(), Error> {
    run_with(arguments, |seams| seams).await
}

/// [`run`] with something put between the provisioner and its seams, such as a deliberate defect.
///
/// # Errors
/// Those of [`run`].
pub async fn run_with(
    arguments: ProvisionerArgs,
    wrap: impl FnOnce(Seams) -> Seams,
) -> Result<(), Error> {
    let run = arguments.run_args();
    let config = run.config()?;
    let ignored = run.glog.given();
    if !ignored.is_empty() {
        tracing::warn!(
            flags = ignored.join(", "),
            "these logging flags of nfs-subdir have no effect here"
        );
    }
    let shutdown = CancellationToken::new();
    let signals = stop_on_signal(shutdown.clone())?;
    let seams = wrap(app::real_seams(&config).await?);
    let result = app::run(config, seams, shutdown).await;
    signals.abort();
    result
}

fn stop_on_signal(shutdown: CancellationToken) -> Result<tokio::task::JoinHandle<()>, Error> {
    let watch =
        |kind| signal(kind).map_err(|error| Error::Logging(format!("watch signals: {error}")));
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        shutdown.cancel();
    }))
}

/// The whole of the binary: parse, log, run, exit code.
pub fn main() -> ExitCode {
    let arguments = Cli::parse_from(normalise(std::env::args_os())).arguments;
    let outcome = init_logging(&arguments).and_then(|()| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Logging(format!("start the runtime: {error}")))?
            .block_on(run(arguments))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                category = error.category(),
                object = error.object(),
                "failed to {error}"
            );
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests;

//! A testbed that this process owns: cluster, export and subject, with the state others attach by.

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use futures::future::{join, select};
use testbed::artifacts::Home;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::cluster::{Cluster as _, ClusterError};
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::state::{self, ExportInfo, Owner, State, StateError, Timings};
use testbed::subject::{RunningSubject, StartOptions, Subject};
use testbed::tools::{ToolSet, versions};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::failure::{Failure, failed_to};

/// The exported path, as volumes name it.
const EXPORT_PATH: &str = "/export";
/// Simulated nodes: enough for a StatefulSet of three to spread.
const NODES: usize = 3;
/// How long a subject may take to end in order, to give back its Lease for instance.
const SUBJECT_GRACE: Duration = Duration::from_secs(2);
/// How long connections of the export may take to end.
const EXPORT_GRACE: Duration = Duration::from_secs(2);

/// What a testbed is made of.
#[derive(Debug)]
pub(crate) struct BedOptions<'a> {
    /// The state root.
    pub(crate) home: &'a Home,
    /// Its name.
    pub(crate) name: &'a str,
    /// Where its logs go, absolute; the directory exists.
    pub(crate) logs: &'a Utf8Path,
    /// The subject.
    pub(crate) subject: &'a Subject,
    /// The programs of the cluster.
    pub(crate) tools: &'a ToolSet,
    /// How long finding them took.
    pub(crate) tools_ms: u64,
}

/// A testbed that is up. Dropping it kills its processes; [`Bed::down`] and [`discard`] remove the
/// rest.
pub(crate) struct Bed {
    home: Home,
    state: State,
    cluster: LocalCluster,
    export: EmbeddedExport,
    subject: RunningSubject,
}

impl Bed {
    /// Boots everything; `told` hears of each stage. The name must have been claimed, and is given
    /// back by the caller ([`discard`]) when this fails or is dropped.
    ///
    /// # Errors
    /// A part of the testbed does not start.
    pub(crate) async fn up(
        options: &BedOptions<'_>,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, Failure> {
        let BedOptions {
            home,
            name,
            logs,
            subject,
            tools,
            tools_ms,
        } = *options;
        let directory = home.cluster(name);
        let owner = Owner::this_process().ok_or(StateError::NoProc)?;
        told(&format!(
            "booting cluster `{name}` (kubernetes {})",
            versions::KUBERNETES
        ));
        let started = Instant::now();
        let cluster = Box::pin(boot_cluster(&directory, logs, tools)).await?;
        let export = start_export(&directory).await?;
        let boot_ms = millis(started.elapsed());
        told(&format!("cluster up after {}", seconds(boot_ms)));

        let info = export_info(&export);
        let started = Instant::now();
        let running = start_subject(subject, &cluster, &info, &directory, logs).await?;
        let deploy_ms = millis(started.elapsed());

        let mut children = cluster.children();
        children.push(running.record().clone());
        let state = State {
            name: name.to_owned(),
            owner,
            logs: logs.to_owned(),
            case_lock: directory.join("case.lock"),
            directory,
            cluster: cluster.describe(),
            export: info,
            subject: running.state().clone(),
            children,
            timings: Timings {
                tools_ms,
                boot_ms,
                deploy_ms,
            },
        };
        state.save()?;
        // Not before the state is there: whoever waits for this line may read it.
        told(&format!(
            "subject `{}` ready after {}",
            subject.name,
            seconds(deploy_ms)
        ));
        Ok(Self {
            home: home.clone(),
            state,
            cluster,
            export,
            subject: running,
        })
    }

    /// What others need to know of it.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Says in `broken` when a part of the cluster ends; tells of a subject that ends by itself,
    /// which is the subject's failure and breaks nothing.
    pub(crate) async fn watch(
        &self,
        broken: &watch::Sender<Option<String>>,
        told: &(dyn Fn(&str) + Sync),
    ) -> Infallible {
        let cluster = async {
            let died = self.cluster.failed().await;
            told(&died.to_string());
            broken.send_replace(Some(died.to_string()));
        };
        let subject = async {
            let status = self.subject.exited().await;
            told(&format!(
                "subject `{}` ended by itself ({status}); log {}",
                self.state.subject.name,
                self.subject.log()
            ));
        };
        join(cluster, subject).await;
        pending().await
    }

    /// Ends when a part of the cluster ends, with what did.
    pub(crate) async fn failed(&self) -> String {
        self.cluster.failed().await.to_string()
    }

    /// Takes everything down, in order, and removes its directory. Logs stay.
    ///
    /// # Errors
    /// A process does not end, or the directory cannot be removed.
    pub(crate) async fn down(self) -> Result<(), Failure> {
        let Self {
            home,
            state,
            cluster,
            export,
            subject,
        } = self;
        subject.stop(SUBJECT_GRACE).await;
        // Nothing is lost when a client holds its connection: the directory goes anyway.
        let exported = timeout(EXPORT_GRACE, export.stop());
        let (_ended, ()) = join(exported, Box::new(cluster).down()).await;
        discard(&home, &state.name).await
    }
}

/// Removes what is left of a testbed of this process, whose parts were stopped or dropped.
///
/// # Errors
/// A process does not end, or the directory cannot be removed.
pub(crate) async fn discard(home: &Home, name: &str) -> Result<(), Failure> {
    let (home, name) = (home.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || state::end(&home, &name, Duration::ZERO))
        .await
        .map_err(Failure::defect)??;
    Ok(())
}

/// Runs `boot` under a claimed name, and gives the name back when it does not succeed or `stop`
/// comes first.
///
/// # Errors
/// The name is taken, `boot` fails, or `stop` came first.
pub(crate) async fn claimed<T>(
    home: &Home,
    name: &str,
    stop: impl Future<Output = ()>,
    boot: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    home.claim(name)?;
    let result = {
        let (boot, stop) = (std::pin::pin!(boot), std::pin::pin!(stop));
        match select(boot, stop).await {
            futures::future::Either::Left((result, _)) => result,
            futures::future::Either::Right(_) => Err(Failure::interrupted()),
        }
    };
    if result.is_err()
        && let Err(failure) = discard(home, name).await
    {
        tracing::warn!("testbed {name} is not wholly removed: {:#}", failure.error);
    }
    result
}

async fn boot_cluster(
    directory: &Utf8Path,
    logs: &Utf8Path,
    tools: &ToolSet,
) -> Result<LocalCluster, Failure> {
    let options = LocalOptions {
        directory: directory.to_owned(),
        logs: logs.to_owned(),
        binaries: LocalBinaries::from(tools),
        kubernetes: versions::KUBERNETES.to_owned(),
        nodes: NODES,
        guard: None,
    };
    LocalCluster::up(&options)
        .await
        .map_err(|error| match &error {
            // They name their log, or the directory of all of them.
            ClusterError::Died(_) | ClusterError::Slow { .. } => Failure::testbed(error),
            _ => Failure::testbed(error).hint(format!("logs are in {logs}")),
        })
}

async fn start_export(directory: &Utf8Path) -> Result<EmbeddedExport, Failure> {
    let directory = directory.join("export");
    fs_err::create_dir(&directory).map_err(Failure::testbed)?;
    let options = ExportOptions {
        directory,
        export_path: EXPORT_PATH.to_owned(),
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        root_squash: false,
    };
    let started = EmbeddedExport::start(options).await;
    started.map_err(|error| Failure::testbed(failed_to(&error)))
}

fn export_info(export: &EmbeddedExport) -> ExportInfo {
    ExportInfo {
        server: Ipv4Addr::LOCALHOST.to_string(),
        path: EXPORT_PATH.to_owned(),
        port: export.port(),
        mount_port: export.port(),
        directory: export.directory().to_owned(),
        container: None,
    }
}

async fn start_subject(
    subject: &Subject,
    cluster: &LocalCluster,
    export: &ExportInfo,
    directory: &Utf8Path,
    logs: &Utf8Path,
) -> Result<RunningSubject, Failure> {
    let claimcheck = this_program()?;
    let options = StartOptions {
        subject,
        cluster,
        export,
        directory,
        logs,
        claimcheck: &claimcheck,
        guard: None,
    };
    RunningSubject::start(options)
        .await
        .map_err(Failure::testbed)
}

/// The path of this executable, also after its file was replaced by a newer build (proc(5)).
pub(crate) fn this_program() -> Result<Utf8PathBuf, Failure> {
    let path = std::env::current_exe()
        .context("cannot find this executable")
        .and_then(|path| Utf8PathBuf::try_from(path).context("cannot name this executable"))
        .map_err(Failure::defect)?;
    if path.exists() {
        return Ok(path);
    }
    Ok(format!("/proc/{}/exe", std::process::id()).into())
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds as a person reads them: `312 ms`, `4.1 s`.
pub(crate) fn seconds(millis: u64) -> String {
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        let duration = Duration::from_millis(millis);
        format!("{:.1} s", duration.as_secs_f64())
    }
}

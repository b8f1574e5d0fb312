//! A subject that runs: as a process of this machine, with the rights of its `ServiceAccount`, or in
//! pods of the cluster.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::FutureExt as _;
use futures::future::Either;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::wait::{Error as WaitError, await_condition};
use kube::{Api, Client};
use tokio::time::sleep;

use self::in_cluster::InCluster;
use super::error::StartError;
use super::model::{Manifest, Subject};
use super::placeholder::Placeholder;
use super::start::{Readiness, Start};
use crate::manifests::{self, ManifestError};
use crate::process::{Child, tail};
use crate::state::{ChildRecord, ExportInfo, SubjectState};

mod in_cluster;
mod kubeconfig;
mod pod_logs;
mod process;

/// How often its log is looked at: a file tells nobody that it grew.
const LOG_POLL: Duration = Duration::from_millis(50);
/// Lines of its log that an error shows.
const TAIL: usize = 15;

/// What a subject is started with.
pub struct StartOptions<'a> {
    /// The subject. Whether it runs on this kind of cluster was asked before
    /// ([`Subject::runs_on`]), and the nodes have its images ([`Subject::images`]).
    pub subject: &'a Subject,
    /// A client with all rights on the cluster it serves.
    pub client: Client,
    /// The kubeconfig with all rights; a process subject gets one for the same server.
    pub kubeconfig: &'a Utf8Path,
    /// The export it serves claims on.
    pub export: &'a ExportInfo,
    /// The testbed's directory, where the kubeconfig of a process subject goes.
    pub directory: &'a Utf8Path,
    /// Where its log goes, as `subject.log`.
    pub logs: &'a Utf8Path,
    /// What `${claimcheck}` stands for: the path of `claimcheck`.
    pub claimcheck: &'a Utf8Path,
    /// The executable that guards a process subject; `None` for the running one.
    pub guard: Option<&'a Utf8Path>,
}

impl fmt::Debug for StartOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartOptions")
            .field("subject", &self.subject.name)
            .field("export", &self.export)
            .finish_non_exhaustive()
    }
}

impl StartOptions<'_> {
    fn log(&self) -> Utf8PathBuf {
        self.logs.join("subject.log")
    }

    /// What a placeholder stands for. `kubeconfig` is that of a process subject.
    fn value(&self, placeholder: Placeholder, kubeconfig: &Utf8Path) -> String {
        let Self {
            subject, export, ..
        } = self;
        match placeholder {
            Placeholder::Claimcheck => self.claimcheck.to_string(),
            Placeholder::Kubeconfig => kubeconfig.to_string(),
            Placeholder::Namespace => subject.start.namespace().to_owned(),
            Placeholder::Provisioner => subject.provisioner.clone(),
            Placeholder::ExportServer => export.server.clone(),
            Placeholder::ExportPath => export.path.clone(),
            Placeholder::ExportPort => export.port.to_string(),
            Placeholder::ExportMountPort => export.mount_port.to_string(),
            Placeholder::ExportDirectory => export.directory.to_string(),
            Placeholder::Log => self.log().to_string(),
        }
    }
}

/// A subject that runs. Dropping it kills its process and what that started; what it has in the
/// cluster stays until [`RunningSubject::stop`], or goes with the cluster.
#[derive(Debug)]
pub struct RunningSubject {
    runs: Runs,
    log: Utf8PathBuf,
    state: SubjectState,
}

#[derive(Debug)]
enum Runs {
    Process(Child),
    InCluster(InCluster),
}

/// How a subject ended without being asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectEnd {
    /// Its process ended.
    Process(ExitStatus),
    /// A container of one of its pods ended; kubelet starts another one.
    Container {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
        /// Its exit code.
        code: i32,
        /// Why, in kubelet's words: `Error`, `OOMKilled`, ...
        reason: String,
    },
}

impl fmt::Display for SubjectEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(status) => status.fmt(f),
            Self::Container {
                pod,
                container,
                code,
                reason,
            } => write!(
                f,
                "container {container} of pod {pod}: {reason}, exit code {code}"
            ),
        }
    }
}

impl RunningSubject {
    /// Applies the subject's manifests, starts it and waits until it is ready. A process gets a
    /// kubeconfig with a token of its `ServiceAccount`.
    ///
    /// # Errors
    /// A manifest is refused, there is no such account, the process cannot be started, or it ends or
    /// is not ready in time; a process does not run then, and what was applied stays.
    pub async fn start(options: StartOptions<'_>) -> Result<Self, StartError> {
        let subject = options.subject;
        let applied = subject.manifests.iter();
        for manifest in applied {
            apply(&options, manifest).await?;
        }
        let runs = match &subject.start {
            Start::Process(start) => Runs::Process(process::start(&options, start).await?),
            Start::Manifests(start) => Runs::InCluster(in_cluster::start(&options, start).await?),
        };
        let state = SubjectState {
            file: subject.file.clone(),
            sha256: subject.sha256(),
            name: subject.name.clone(),
            version: subject.version.clone(),
            provisioner: subject.provisioner.clone(),
            pid: match &runs {
                Runs::Process(child) => Some(child.pid()),
                Runs::InCluster(_) => None,
            },
        };
        let log = options.log();
        Ok(Self { runs, log, state })
    }

    /// What the testbed's state says of it.
    pub fn state(&self) -> &SubjectState {
        &self.state
    }

    /// Its process, where it is one of this machine.
    pub fn record(&self) -> Option<&ChildRecord> {
        match &self.runs {
            Runs::Process(child) => Some(child.record()),
            Runs::InCluster(_) => None,
        }
    }

    /// Its log; that of pods is followed as long as this lives, each line with the pod's name.
    pub fn log(&self) -> &Utf8Path {
        &self.log
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        tail(&self.log, TAIL)
    }

    /// Ends when its process, or a container of its pods, has ended by itself. That is the subject's
    /// failure, not the testbed's. Pods that somebody deletes do not count.
    pub fn exited(&self) -> impl Future<Output = SubjectEnd> + Send + use<> {
        match &self.runs {
            Runs::Process(child) => Either::Left(child.exited().map(SubjectEnd::Process)),
            Runs::InCluster(in_cluster) => Either::Right(in_cluster.container_ended()),
        }
    }

    /// Ends it. A process gets SIGTERM, and SIGKILL after `grace`; what it started goes with it. Of
    /// a subject in the cluster everything that was applied goes, in reverse order, each within its
    /// own limit.
    ///
    /// # Errors
    /// An object of it cannot be removed or stays; the others were removed.
    pub async fn stop(self, grace: Duration) -> Result<(), ManifestError> {
        match self.runs {
            Runs::Process(child) => {
                child.stop(grace).await;
                Ok(())
            }
            Runs::InCluster(in_cluster) => in_cluster.remove().await,
        }
    }
}

async fn apply(options: &StartOptions<'_>, manifest: &Manifest) -> Result<(), StartError> {
    let namespace = options.subject.start.namespace();
    manifests::apply(&options.client, &manifest.text, namespace)
        .await
        .map(drop)
        .map_err(|error| not_applied(options.subject, manifest, error))
}

fn not_applied(subject: &Subject, manifest: &Manifest, error: ManifestError) -> StartError {
    StartError::Manifest {
        subject: subject.name.clone(),
        manifest: manifest.path.to_string(),
        source: Box::new(error),
    }
}

/// What readiness is waited for, in words, and the wait for it, which has no limit.
fn readiness<'a>(
    options: &'a StartOptions<'_>,
    readiness: &'a Readiness,
) -> (String, impl Future<Output = Result<(), WaitError>> + 'a) {
    let namespace = options.subject.start.namespace();
    match readiness {
        Readiness::Lease(name) => (
            format!("no holder of Lease {namespace}/{name}"),
            Either::Left(held(&options.client, namespace, name)),
        ),
        Readiness::Log(line) => (
            format!("no line with `{line}` in its log"),
            Either::Right(logged(options.log(), line)),
        ),
    }
}

/// Ends when the Lease has a holder.
async fn held(client: &Client, namespace: &str, name: &str) -> Result<(), WaitError> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    await_condition(api, name, is_held).await.map(|_| ())
}

fn is_held(lease: Option<&Lease>) -> bool {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .is_some_and(|holder| !holder.is_empty())
}

/// Ends when the log holds the text.
async fn logged(log: Utf8PathBuf, text: &str) -> Result<(), WaitError> {
    while !tail(&log, usize::MAX).contains(text) {
        sleep(LOG_POLL).await;
    }
    Ok(())
}

fn cannot_start(
    subject: &Subject,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StartError {
    StartError::Process {
        subject: subject.name.clone(),
        source: Box::new(error),
    }
}

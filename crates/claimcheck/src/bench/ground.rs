//! What a bench runs on: one control plane, and an export for each burst.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Error as KubeError};
use testbed::cluster::local::{ExtraFlags, LocalBinaries, LocalCluster, LocalOptions};
use testbed::cluster::{Cluster as _, ClusterError, Died};
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::state::ExportInfo;
use testbed::subject::{RunningSubject, StartOptions};
use testbed::tools::versions;
use tokio::time::timeout;

use super::audit::{self, AuditLog};
use super::objects;
use super::order::BenchSubject;
use crate::bed::this_program;
use crate::failure::{Failure, failed_to};

/// The exported path, as volumes name it.
const EXPORT_PATH: &str = "/export";
/// No pod runs, so one node is enough.
const NODES: usize = 1;
/// How long a subject may take to end in order, and connections of an export to end with it.
const GRACE: Duration = Duration::from_secs(5);

/// A control plane that is up. Dropping it kills its processes.
pub(crate) struct Ground {
    cluster: LocalCluster,
    /// The testbed's directory.
    directory: Utf8PathBuf,
    audit_log: Utf8PathBuf,
}

impl Ground {
    /// Boots a control plane below `directory`, which exists, with its logs in `logs`. Its API server
    /// writes an audit log of the calls of `users`.
    ///
    /// # Errors
    /// It does not come up.
    pub(crate) async fn up(
        binaries: &LocalBinaries,
        directory: Utf8PathBuf,
        logs: &Utf8Path,
        users: &[String],
    ) -> Result<Self, Failure> {
        let policy = directory.join("audit-policy.json");
        let audit_log = directory.join("audit.log");
        fs_err::write(&policy, audit::policy(users).to_string()).map_err(Failure::testbed)?;
        let extra = ExtraFlags {
            kube_apiserver: audit::flags(&policy, &audit_log),
            kube_controller_manager: vec![
                // Its own default. Cases are served by a shorter one, at which thousands of waiting
                // claims would be looked at all the time.
                "--pvclaimbinder-sync-period=15s".to_owned(),
            ],
        };
        let options = LocalOptions {
            directory: directory.clone(),
            logs: logs.to_owned(),
            binaries: binaries.clone(),
            kubernetes: versions::KUBERNETES.to_owned(),
            nodes: NODES,
            guard: None,
        };
        let booted = Box::pin(LocalCluster::up_with(&options, &extra)).await;
        let cluster = booted.map_err(|error| match &error {
            // They name their log, or the directory of all of them.
            ClusterError::Died(_) | ClusterError::Slow { .. } => Failure::testbed(error),
            _ => Failure::testbed(error).hint(format!("logs are in {logs}")),
        })?;
        let ground = Self {
            cluster,
            directory,
            audit_log,
        };
        Api::all(ground.client())
            .create(&PostParams::default(), &objects::namespace())
            .await
            .context("the bench's namespace was not made")
            .map_err(Failure::testbed)?;
        Ok(ground)
    }

    /// A client with all rights, which does not retry by itself.
    pub(super) fn client(&self) -> Client {
        self.cluster.client()
    }

    /// The audit log, from its beginning.
    pub(super) fn audit_log(&self) -> AuditLog {
        AuditLog::at(self.audit_log.clone())
    }

    /// Ends when a part of the control plane ends, with which.
    pub(crate) async fn failed(&self) -> Died {
        self.cluster.failed().await
    }

    /// Takes the control plane down. The directory stays for its owner.
    pub(crate) async fn down(self) {
        Box::new(self.cluster).down().await;
    }

    /// Serves a new, empty directory, for one burst.
    pub(super) async fn serve(&self, burst: usize) -> Result<EmbeddedExport, Failure> {
        let directory = self.directory.join(format!("export-{burst}"));
        fs_err::create_dir(&directory).map_err(Failure::testbed)?;
        let options = ExportOptions {
            directory,
            export_path: EXPORT_PATH.to_owned(),
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            root_squash: false,
        };
        // Neither etcd nor the export waits for this machine's disk.
        let started = EmbeddedExport::start_volatile(options).await;
        started.map_err(|error| Failure::testbed(failed_to(&error)))
    }

    /// Ends an export and removes what is left on it.
    pub(super) async fn remove(&self, export: EmbeddedExport) -> Result<(), Failure> {
        let directory = export.directory().to_owned();
        // A client that is gone cannot hold a call for long; one that does loses nothing.
        let _ended = timeout(GRACE, export.stop()).await;
        let removed = tokio::task::spawn_blocking(move || fs_err::remove_dir_all(directory)).await;
        removed.map_err(Failure::defect)?.map_err(Failure::testbed)
    }

    /// Removes the lock of a subject that an earlier burst's process left: it would look like
    /// readiness.
    pub(super) async fn forget_lock(&self, subject: &BenchSubject) -> Result<(), Failure> {
        match &subject.lease {
            Some((namespace, name)) => self.remove_lease(namespace, name).await,
            None => Ok(()),
        }
    }

    /// Starts a subject and ends when it is ready.
    pub(super) async fn start(
        &self,
        subject: &BenchSubject,
        export: &EmbeddedExport,
        logs: &Utf8Path,
    ) -> Result<RunningSubject, Failure> {
        fs_err::create_dir_all(logs).map_err(Failure::testbed)?;
        let options = StartOptions {
            subject: &subject.file,
            client: self.client(),
            kubeconfig: &self.cluster.describe().kubeconfig,
            export: &ExportInfo {
                server: Ipv4Addr::LOCALHOST.to_string(),
                path: EXPORT_PATH.to_owned(),
                port: export.port(),
                mount_port: export.port(),
                directory: export.directory().to_owned(),
                container: None,
            },
            directory: &self.directory,
            logs,
            claimcheck: &this_program()?,
            guard: None,
        };
        RunningSubject::start(options)
            .await
            .map_err(Failure::testbed)
    }

    async fn remove_lease(&self, namespace: &str, name: &str) -> Result<(), Failure> {
        let api: Api<Lease> = Api::namespaced(self.client(), namespace);
        match api.delete(name, &DeleteParams::default()).await {
            Err(KubeError::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Failure::testbed(
                anyhow::Error::from(error)
                    .context(format!("Lease {namespace}/{name} was not removed")),
            )),
            Ok(_) => Ok(()),
        }
    }

    /// Ends a subject in order.
    pub(super) async fn stop(&self, subject: RunningSubject) -> Result<(), Failure> {
        subject.stop(GRACE).await.map_err(Failure::testbed)
    }
}

//! One run, put together: the ground from a testbed's state, and the report from what was judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use testbed::nfs::{ExportTarget, ExportView};
use testbed::state::State;

use crate::catalogue;
use crate::report::model::{
    ClusterInfo, Latency, Ledger, ProfileResult, Report, SCHEMA, SubjectInfo, SuiteInfo, Timings,
    Totals,
};
use crate::runner::Finished;
use crate::subject::Subject;
use crate::world::Ground;

/// A testbed that cannot be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its kubeconfig cannot be used.
    #[error("read kubeconfig {path}: {source}")]
    Kubeconfig {
        /// Path of the file.
        path: camino::Utf8PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// No client can be made of it.
    #[error("make a client for cluster {name}: {source}")]
    Client {
        /// Name of the testbed.
        name: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Ground {
    /// The ground of a testbed that is up.
    ///
    /// # Errors
    /// When its kubeconfig cannot be used.
    pub async fn attach(state: State, subject: Subject) -> Result<Self, AttachError> {
        let path = state.cluster.kubeconfig.clone();
        let kubeconfig = |source| AttachError::Kubeconfig {
            path: path.clone(),
            source,
        };
        let file = Kubeconfig::read_from(&path).map_err(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(kubeconfig)?;
        // A repeated POST would hide the first answer from the cases.
        config.default_retry = false;
        // A proxy of the environment must not stand between this machine and itself.
        config.proxy_url = None;
        let client = Client::try_from(config).map_err(|source| AttachError::Client {
            name: state.name.clone(),
            source: Box::new(source),
        })?;
        let export = ExportView::new(ExportTarget {
            host: state.export.server.clone(),
            port: state.export.port,
            mount_port: state.export.mount_port,
            path: state.export.path.clone(),
            directory: Some(state.export.directory.clone()),
        });
        Ok(Self {
            client,
            subject: Arc::new(subject),
            export,
            state: Arc::new(state),
        })
    }
}

/// The report of a finished run.
pub fn report(
    ground: &Ground,
    finished: Finished,
    started: Timestamp,
    cases: Duration,
    duration: Duration,
) -> Report {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let state = &ground.state;
    let subject = &ground.subject;
    Report {
        schema: SCHEMA.to_owned(),
        suite: SuiteInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            catalogue_sha256: catalogue::sha256(),
        },
        subject: SubjectInfo {
            name: subject.name.clone(),
            version: subject.version.clone(),
            provisioner: subject.provisioner.clone(),
            digest: state.subject.sha256.clone(),
        },
        cluster: ClusterInfo {
            kind: state.cluster.kind.clone(),
            kubernetes: state.cluster.kubernetes.clone(),
            modes: state.cluster.modes.clone(),
        },
        started: started.to_string(),
        duration_ms: millis(duration),
        timings: Timings {
            tools_ms: state.timings.tools_ms,
            boot_ms: state.timings.boot_ms,
            deploy_ms: state.timings.deploy_ms,
            cases_ms: millis(cases),
        },
        profiles: subject
            .profiles
            .iter()
            .map(|profile| ProfileResult::of(profile.name(), &finished.records))
            .collect(),
        totals: Totals::of(&finished.records),
        latency: finished
            .samples
            .into_iter()
            .filter_map(|(phase, samples)| Some((phase, Latency::of(samples)?)))
            .collect::<BTreeMap<_, _>>(),
        ledger: Ledger {
            leaks: finished.leaks,
        },
        cases: finished.records,
    }
}

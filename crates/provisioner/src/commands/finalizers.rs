//! `finalizers`: the volumes that carry our finalizer, and taking it off before a return to another
//! provisioner, which would never take it off: its volumes would stay for ever.
//!
//! The lock is held meanwhile, so that no running process puts it on anew or is in the middle of a
//! deletion that relies on it.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Report, all_volumes, live, table};
use crate::access::{self, LockKind};
use crate::clock::{BootClock, Fence};
use crate::cluster::{ApiCause, ApiError, ClusterApi};
use crate::config::Config;
use crate::constants::VOLUME_FINALIZER;
use crate::decide::reclaim;
use crate::error::Error;
use crate::lease::{self, Lock};
use crate::seams::Seams;

/// Volumes worked on at once.
const CONCURRENT: usize = 8;
/// How often one volume is tried when it changes meanwhile.
const ATTEMPTS: usize = 5;

/// What became of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    volume: String,
    outcome: Outcome,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It carries the finalizer.
    Present,
    /// It was taken off.
    Removed,
    /// It stays: the volume is on its way out.
    Going,
    /// It could not be taken off.
    Failed,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Removed => "removed",
            Self::Going => "going",
            Self::Failed => "failed",
        }
    }
}

/// What the command found or did.
#[derive(Debug)]
pub struct Finalizers {
    rows: Vec<Row>,
    remove: bool,
}

/// Lists the volumes with our finalizer; `remove` takes it off.
///
/// # Errors
/// [`Error::Command`] when a provisioner holds the lock; [`Error::Api`] when the cluster cannot be
/// listed.
///
/// # Access control
/// `persistentvolumes` list; to remove also get and patch, and the lock's rights.
pub async fn run(config: &Config, seams: &Seams, remove: bool) -> Result<Finalizers, Error> {
    if !remove || !config.leader_election {
        return work(config, seams, remove, &Fence::open(Arc::new(BootClock))).await;
    }
    let fence = Fence::closed(Arc::new(BootClock));
    let lock = lock(config, seams, &fence).await;
    // Whoever is alive renews within the duration of the lease; what is dead has expired after it.
    let patience = config.lease.duration.saturating_add(config.lease.retry * 2);
    let never = CancellationToken::new();
    let Ok(Some(lease)) = tokio::time::timeout(patience, lock.acquire(&never)).await else {
        return Err(Error::Command(format!(
            "take the finalizer off: a provisioner holds the lock {}; stop it first, as with `kubectl scale --replicas=0`",
            lock.lease_name()
        )));
    };
    let stop = CancellationToken::new();
    let keeping = lock.keep(lease, &stop);
    tokio::pin!(keeping);
    let result = tokio::select! {
        result = work(config, seams, remove, &fence) => result,
        ended = &mut keeping => return Err(ended.err().unwrap_or_else(|| Error::LeaseLost {
            lease: lock.lease_name(),
            cause: "its renewal ended".to_owned(),
        })),
    };
    stop.cancel();
    lock.release(keeping.await?).await;
    result
}

/// The lock of `run`, by another holder. The old lock does not matter: an older provisioner that
/// runs already is why the finalizer has to go.
async fn lock(config: &Config, seams: &Seams, fence: &Fence) -> Lock {
    let reviewed = access::reviews(&*seams.cluster, &config.namespace).await;
    let kind = match access::lock_kind(&reviewed) {
        LockKind::LeaseBesideEndpoints => LockKind::Lease,
        other => other,
    };
    let clock = Arc::new(BootClock);
    Lock {
        cluster: lease::objects::keep_on(
            kind,
            seams.cluster.clone(),
            clock.clone(),
            config.lease.duration,
        ),
        namespace: config.namespace.clone(),
        name: config.target.provisioner.lock_name(),
        identity: config.identity.clone(),
        times: config.lease,
        clock,
        fence: fence.clone(),
    }
}

async fn work(
    config: &Config,
    seams: &Seams,
    remove: bool,
    fence: &Fence,
) -> Result<Finalizers, Error> {
    let volumes = all_volumes(seams).await?;
    let ours = volumes
        .into_iter()
        .filter(|volume| reclaim::is_our_volume(&config.target, volume) && has_it(volume));
    let rows = futures::stream::iter(ours)
        .map(|volume| async move {
            if remove {
                take_off(&*seams.cluster, volume, fence).await
            } else {
                row(&volume, Outcome::Present, "")
            }
        })
        .buffered(CONCURRENT)
        .collect()
        .await;
    Ok(Finalizers { rows, remove })
}

fn has_it(volume: &PersistentVolume) -> bool {
    volume
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == VOLUME_FINALIZER)
}

fn row(volume: &PersistentVolume, outcome: Outcome, message: impl Into<String>) -> Row {
    Row {
        volume: volume.name_any(),
        outcome,
        message: message.into(),
    }
}

async fn take_off(cluster: &dyn ClusterApi, mut volume: PersistentVolume, fence: &Fence) -> Row {
    for _ in 0..ATTEMPTS {
        if volume.metadata.deletion_timestamp.is_some() {
            // Without it the object would go at once, and with it all that is known of the directory
            // to another provisioner.
            return row(
                &volume,
                Outcome::Going,
                "it is being deleted: let this provisioner finish that first, or take the finalizer off by hand and keep \
                 the directory",
            );
        }
        if !has_it(&volume) {
            return row(&volume, Outcome::Removed, "");
        }
        match try_once(cluster, &volume, fence).await {
            Ok(()) => return row(&volume, Outcome::Removed, ""),
            Err(error) if error.cause == ApiCause::Conflict => {}
            Err(error) => return row(&volume, Outcome::Failed, format!("failed to {error}")),
        }
        match live(cluster, &volume.name_any(), volume.metadata.uid.as_deref()).await {
            Ok(Some(found)) => volume = found,
            Ok(None) => return row(&volume, Outcome::Removed, "the volume is gone"),
            Err(error) => return row(&volume, Outcome::Failed, format!("failed to {error}")),
        }
    }
    row(&volume, Outcome::Failed, "it changes all the time")
}

async fn try_once(
    cluster: &dyn ClusterApi,
    volume: &PersistentVolume,
    fence: &Fence,
) -> Result<(), ApiError> {
    let name = volume.name_any();
    fence.check().map_err(|fenced| ApiError {
        verb: "patch",
        object: format!("volume {name}"),
        cause: ApiCause::Unavailable,
        message: fenced.to_string(),
    })?;
    let others: Vec<String> = volume
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != VOLUME_FINALIZER)
        .cloned()
        .collect();
    let version = volume.metadata.resource_version.clone().unwrap_or_default();
    cluster.set_finalizers(&name, &version, &others).await
}

impl Report for Finalizers {
    fn table(&self) -> String {
        let rows: Vec<[String; 3]> = self
            .rows
            .iter()
            .map(|row| {
                [
                    row.volume.clone(),
                    row.outcome.word().to_owned(),
                    row.message.clone(),
                ]
            })
            .collect();
        let number = table::count(self.rows.len(), "volume");
        let sum = if self.remove {
            "looked at"
        } else {
            "with the finalizer; --remove takes it off"
        };
        let rows = table::columns(["VOLUME", "FINALIZER", "WHAT"], &rows);
        format!("{rows}{number} {sum}.\n")
    }

    fn json(&self) -> Value {
        json!({ "schema": "nfs-provisioner/finalizers/v1", "finalizer": VOLUME_FINALIZER, "volumes": self.rows })
    }

    fn complaint(&self) -> Option<String> {
        let left = self
            .rows
            .iter()
            .filter(|row| matches!(row.outcome, Outcome::Going | Outcome::Failed))
            .count();
        (left > 0).then(|| format!("{} still with the finalizer", table::count(left, "volume")))
    }
}

//! Taking the lock if one is wanted, acting under it, giving it back.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::access::Access;
use crate::config::Config;
use crate::constants::OWNER;
use crate::error::Error;
use crate::events::Notice;
use crate::health::Role;
use crate::lease::{self, Lock};

use super::act::{Acting, act};
use super::watches::Watches;
use super::{Stage, Telling};

/// Takes the lock if one is wanted, acts under it, gives it back.
pub(super) async fn lead(
    lock: &Arc<Lock>,
    access: Access,
    stage: Stage<'_>,
    watches: &mut Watches,
    telling: &mut Telling,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let parts = stage.parts;
    let config = &parts.config;
    if !config.leader_election {
        let lease = match lock.without_holder().await {
            Ok(lease) => Some(lease),
            Err(error) => {
                tracing::warn!(
                    cause = error.cause.category(),
                    "failed to {error}; the id of this deployment is taken from its volumes"
                );
                None
            }
        };
        stage.health.set_role(Role::Acting);
        parts.metrics.acting(true, 0);
        let Some(owner) = settle_owner(lease.as_ref(), config, watches, shutdown).await else {
            return Ok(());
        };
        if let Some(lease) = lease {
            keep_owner(lock, lease, &owner).await;
        }
        let acting = Acting {
            access,
            owner,
            transitions: 0,
        };
        return act(acting, stage, watches, shutdown).await;
    }
    let Some(lease) = lock.acquire(shutdown).await else {
        return Ok(());
    };
    tracing::info!(
        lease = lock.lease_name(),
        identity = config.identity,
        "became leader"
    );
    let transitions = lease::transitions(&lease);
    stage.health.set_role(Role::Acting);
    parts.metrics.acting(true, transitions);
    if let Some(words) = parts.rules.words(
        &Notice::BecameLeader {
            identity: config.identity.clone(),
        },
        &config.target,
    ) {
        parts.recorder.tell(lock.reference(&lease), words);
    }
    let Some(owner) = settle_owner(Some(&lease), config, watches, shutdown).await else {
        telling.finish().await;
        lock.release(lease).await;
        return Ok(());
    };
    let lease = keep_owner(lock, lease, &owner).await;

    // Renewing goes on until all work has ended, so that nobody else starts before.
    let stop_keeping = CancellationToken::new();
    let keeping = {
        let (lock, stop) = (lock.clone(), stop_keeping.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { lock.keep(lease, &stop).await }))
    };
    tokio::pin!(keeping);
    let acting = Acting {
        access,
        owner,
        transitions,
    };
    let acted = tokio::select! {
        // A process that wakes up without its lock ends before it works.
        biased;
        ended = &mut keeping => {
            // What was under way ends with `act`, which is dropped here.
            parts.metrics.acting(false, transitions);
            if let Ok(Err(error)) = ended {
                return Err(error);
            }
            parts.fence.close();
            return Err(Error::LeaseLost {
                lease: lock.lease_name(),
                cause: "the task that renews it ended".to_owned(),
            });
        }
        acted = async {
            let acted = act(acting, stage, watches, shutdown).await;
            // While the lock is held still: without it nothing is written.
            telling.finish().await;
            acted
        } => acted,
    };
    stop_keeping.cancel();
    match keeping.await {
        Ok(Ok(lease)) => lock.release(lease).await,
        Ok(Err(error)) => return Err(error),
        Err(error) => tracing::error!("the task that renews the lock ended: {error}"),
    }
    acted
}

/// The id of this deployment: as configured, else as kept on the lock, else as on its volumes,
/// else a new one. `None` when asked to stop before the volumes are known: an id made up then would
/// disown them.
async fn settle_owner(
    lease: Option<&Lease>,
    config: &Config,
    watches: &mut Watches,
    shutdown: &CancellationToken,
) -> Option<String> {
    let kept = lease.and_then(lease::owner);
    if let Some(owner) = config.owner.clone().or(kept) {
        return Some(owner);
    }
    tokio::select! {
        biased;
        () = shutdown.cancelled() => return None,
        () = watches.synced() => {}
    }
    let known = watches.volumes.owners();
    if known.len() > 1 {
        tracing::warn!(
            owners = known.join(", "),
            "volumes name several deployments as their owner: set one with --owner"
        );
    }
    let owner = known.into_iter().next();
    Some(owner.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()))
}

/// Writes the id on the lock, so that it stays.
async fn keep_owner(lock: &Lock, lease: Lease, owner: &str) -> Lease {
    match lock.set_owner(lease.clone(), owner).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::warn!(
                cause = error.cause.category(),
                annotation = OWNER,
                "failed to {error}; the next renewal writes it"
            );
            let mut lease = lease;
            lease
                .annotations_mut()
                .insert(OWNER.to_owned(), owner.to_owned());
            lease
        }
    }
}

//! Wires client, lock, watches and the two controllers together; one token ends them all.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Access};
use crate::backoff;
use crate::claims::{Claims, Parts};
use crate::clock::{BootClock, Clock, Fence};
use crate::config::Config;
use crate::constants::OWNER;
use crate::decide::volume::Scope;
use crate::error::{Error, StepError};
use crate::events::{self, Notice};
use crate::export;
use crate::index::Index;
use crate::intents::Share;
use crate::lease::{self, Lock};
use crate::seams::Seams;
use crate::storage::Storage;
use crate::volumes::Volumes;

mod dispatch;
mod setup;
mod watches;

use dispatch::dispatch;
pub use setup::{client, open_backend, real_seams};
use watches::Watches;

/// How long events waiting at the end may take to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Runs the provisioner until `shutdown`, which ends it cleanly: no new work, what is under way is
/// finished or left to its record, the lock is released.
///
/// # Errors
/// [`Error`] when a needed right is missing or the lock is lost.
///
/// # Access control
/// [`access::RULES`].
pub async fn run(config: Config, seams: Seams, shutdown: CancellationToken) -> Result<(), Error> {
    run_with_clock(config, seams, shutdown, Arc::new(BootClock)).await
}

/// [`run`] with another clock for the lock.
///
/// # Errors
/// Those of [`run`].
pub async fn run_with_clock(
    config: Config,
    seams: Seams,
    shutdown: CancellationToken,
    clock: Arc<dyn Clock>,
) -> Result<(), Error> {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), provisioner = %config.target.provisioner, server = config.target.server,
        export = %config.target.export, backend = seams.storage.name(), election = config.leader_election,
        identity = config.identity, workers = ?config.workers, "starting"
    );
    let config = Arc::new(config);
    let fence = if config.leader_election {
        Fence::closed(clock.clone())
    } else {
        Fence::open(clock.clone())
    };
    let component = format!("{}_{}", config.target.provisioner, config.identity);
    let (recorder, writer) = events::channel(seams.cluster.clone(), component);
    let parts = Parts {
        config: config.clone(),
        cluster: seams.cluster.clone(),
        rules: seams.rules.clone(),
        index: Arc::new(Index::default()),
        recorder: recorder.clone(),
        fence: fence.clone(),
    };
    let mut watches = Watches::start(&parts);

    let access = tokio::select! {
        access = access::review(&*seams.cluster, &config.namespace, config.leader_election) => access?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let flush = CancellationToken::new();
    let writing = tokio::spawn(writer.run(access.events, flush.clone()));

    let lock = Arc::new(Lock {
        cluster: seams.cluster.clone(),
        namespace: config.namespace.clone(),
        name: config.target.provisioner.lock_name(),
        identity: config.identity.clone(),
        times: config.lease,
        clock,
        fence: fence.clone(),
    });
    let stop = shutdown.child_token();
    let ended = watches.ended.clone();
    let result = {
        let leading = lead(&lock, access, &parts, &seams, &mut watches, &stop);
        tokio::pin!(leading);
        tokio::select! {
            result = &mut leading => result,
            () = ended.cancelled() => {
                stop.cancel();
                leading.await.and(Err(Error::Ended { task: "a watch" }))
            }
        }
    };

    flush.cancel();
    if tokio::time::timeout(FLUSH, writing).await.is_err() {
        tracing::warn!("some events could not be written before the end");
    }
    result
}

/// Takes the lock if one is wanted, acts under it, gives it back.
async fn lead(
    lock: &Arc<Lock>,
    access: Access,
    parts: &Parts,
    seams: &Seams,
    watches: &mut Watches,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
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
        return act(acting, parts, seams, watches, shutdown).await;
    }
    let Some(lease) = lock.acquire(shutdown).await else {
        return Ok(());
    };
    tracing::info!(
        lease = lock.lease_name(),
        identity = config.identity,
        "became leader"
    );
    if let Some(words) = parts.rules.words(
        &Notice::BecameLeader {
            identity: config.identity.clone(),
        },
        &config.target,
    ) {
        parts.recorder.tell(lease::reference(&lease), words);
    }
    let transitions = lease::transitions(&lease);
    let Some(owner) = settle_owner(Some(&lease), config, watches, shutdown).await else {
        lock.release(lease).await;
        return Ok(());
    };
    let lease = keep_owner(lock, lease, &owner).await;

    // Renewing goes on until all work has ended, so that nobody else starts before.
    let stop_keeping = CancellationToken::new();
    let keeping = {
        let (lock, stop) = (lock.clone(), stop_keeping.clone());
        tokio::spawn(async move { lock.keep(lease, &stop).await })
    };
    let lost = CancellationToken::new();
    let keeping = {
        let lost = lost.clone();
        async move {
            let ended = keeping.await;
            lost.cancel();
            ended
        }
    };
    tokio::pin!(keeping);
    let acting = Acting {
        access,
        owner,
        transitions,
    };
    let acted = tokio::select! {
        ended = &mut keeping => {
            return match ended {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(Error::LeaseLost {
                    lease: lock.lease_name(),
                    cause: "the task that renews it ended".to_owned(),
                }),
            };
        }
        acted = act(acting, parts, seams, watches, shutdown) => acted,
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

struct Acting {
    access: Access,
    owner: String,
    transitions: i32,
}

/// Makes the export ready and works until asked to stop.
async fn act(
    acting: Acting,
    parts: &Parts,
    seams: &Seams,
    watches: &mut Watches,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let config = &parts.config;
    let storage = Storage::new(
        seams.storage.clone(),
        parts.fence.clone(),
        config.limits.storage,
        config.limits.removal,
    );
    tokio::select! {
        () = watches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    let ready = tokio::select! {
        ready = make_ready(&storage, &acting.owner, watches, parts) => ready,
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(
        export_id = ready.id,
        owner = acting.owner,
        records = parts.index.own().len(),
        "ready"
    );
    let scope = Scope {
        target: config.target.clone(),
        owner: acting.owner,
        export_id: ready.id,
        root: ready.root,
        finalizer: acting.access.finalizer,
        transitions: acting.transitions,
    };
    let share = Arc::new(Share::new(
        storage,
        parts.index.clone(),
        parts.rules.clone(),
        scope,
        config,
    ));
    watches.volumes.catch_up();
    watches.claims.catch_up();

    let claims = watches.claims.clone();
    let provisioning = {
        let (share, claims) = (share.clone(), claims.clone());
        dispatch(
            move |claims: &Claims| &claims.queue,
            claims,
            config.workers.provision,
            config.limits.shutdown,
            shutdown,
            move |claims, uid, slot| {
                let share = share.clone();
                async move {
                    // Held for as long as the claim is worked on.
                    let _slot = slot;
                    claims.work(&share, &uid).await
                }
            },
        )
    };
    let reclaiming = dispatch(
        move |volumes: &Volumes| &volumes.queue,
        watches.volumes.clone(),
        config.workers.delete,
        config.limits.shutdown,
        shutdown,
        move |volumes, name, mut slot| {
            let share = share.clone();
            async move { volumes.work(&share, &name, &mut slot).await }
        },
    );
    tokio::join!(provisioning, reclaiming);
    Ok(())
}

/// Tries until the export is the right one, is there and can be written. A fault of the export is
/// no reason to end: it may be mounted or come back at any time.
async fn make_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    parts: &Parts,
) -> export::Export {
    let mut failures = 0;
    loop {
        match try_ready(storage, owner, watches, parts).await {
            Ok(ready) => return ready,
            Err(error) => {
                failures += 1;
                let delay =
                    backoff::delay(failures, backoff::jitter()).min(Duration::from_secs(15));
                tracing::warn!(
                    backend = storage.name(),
                    cause = error.category(),
                    ?delay,
                    "the export is not ready: failed to {error}"
                );
                tokio::time::sleep(delay).await;
            }
        }
    }
}

async fn try_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    parts: &Parts,
) -> Result<export::Export, StepError> {
    let known = watches.volumes.export_ids(owner);
    if known.len() > 1 {
        return Err(StepError::Export(format!(
            "volumes of this deployment name several exports: {}",
            known.join(", ")
        )));
    }
    let ready = export::prepare(storage, owner, known.first().map(String::as_str)).await?;
    let found = export::load(storage, owner).await?;
    parts.index.load_own(found.own);
    parts.index.load_foreign(found.foreign);
    Ok(ready)
}

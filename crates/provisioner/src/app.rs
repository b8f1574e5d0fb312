//! Wires client, lock, watches and the two controllers together; one token ends them all.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::access::{self, Access};
use crate::backend::Backend;
use crate::backend::direct::{DirectBackend, DirectOptions};
use crate::backend::mount::{MountBackend, MountOptions};
use crate::backoff;
use crate::caches::{Change, Classes, Relist};
use crate::claims::{Claims, Next, Parts};
use crate::clock::{BootClock, Clock, Fence};
use crate::cluster::{Changes, Kubernetes};
use crate::config::{BackendChoice, Config};
use crate::constants::OWNER;
use crate::decide::volume::Scope;
use crate::error::{Error, StepError};
use crate::events::{self, Notice};
use crate::export;
use crate::index::Index;
use crate::intents::{Share, Slot};
use crate::lease::{self, Lock};
use crate::queue::WorkQueue;
use crate::rules::SoundRules;
use crate::seams::Seams;
use crate::storage::Storage;
use crate::volumes::Volumes;

/// How long events waiting at the end may take to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// The seams of a real run: the backend chosen, the cluster of the kubeconfig, sound decisions.
///
/// # Errors
/// [`Error::Client`] and [`Error::Storage`] when one cannot be set up.
pub async fn real_seams(config: &Config) -> Result<Seams, Error> {
    Ok(Seams {
        storage: open_backend(config)?,
        cluster: Arc::new(Kubernetes::new(client(config).await?, config.limits.api)),
        rules: Arc::new(SoundRules),
    })
}

/// The storage backend a configuration names.
///
/// # Errors
/// [`Error::Storage`] when it cannot be opened.
pub fn open_backend(config: &Config) -> Result<Arc<dyn Backend>, Error> {
    Ok(match &config.backend {
        BackendChoice::Mount { path, allow_any_filesystem } => Arc::new(MountBackend::open(MountOptions {
            path: path.clone(),
            allow_any_filesystem: *allow_any_filesystem,
        })?),
        BackendChoice::Direct { port } => Arc::new(DirectBackend::connect(DirectOptions {
            nfs_port: *port,
            mount_port: *port,
            ..DirectOptions::new(config.target.server.clone(), config.target.export.to_string())
        })?),
    })
}

/// A client from the kubeconfig, or from the pod's service account without one.
///
/// # Errors
/// [`Error::Client`].
pub async fn client(config: &Config) -> Result<kube::Client, Error> {
    let from = config.kubeconfig.as_ref().map_or_else(|| "the service account of the pod".to_owned(), ToString::to_string);
    let failed = |cause: String| Error::Client { from: from.clone(), cause };
    let kube_config = match &config.kubeconfig {
        Some(path) => {
            let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(|error| failed(error.to_string()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await
                .map_err(|error| failed(error.to_string()))?
        }
        None => kube::Config::incluster().map_err(|error| failed(error.to_string()))?,
    };
    tracing::info!(kubeconfig = from, server = %kube_config.cluster_url, "cluster");
    kube::Client::try_from(kube_config).map_err(|error| failed(error.to_string()))
}

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
    let fence = if config.leader_election { Fence::closed(clock.clone()) } else { Fence::open(clock.clone()) };
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
    let result = lead(&lock, access, &parts, &seams, &mut watches, &shutdown).await;

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
                tracing::warn!(cause = error.cause.category(), "failed to {error}; the id of this deployment is taken from its volumes");
                None
            }
        };
        let (owner, _) = settle_owner(lock, lease, config, watches, shutdown).await;
        let acting = Acting { access, owner, transitions: 0 };
        return act(acting, parts, seams, watches, shutdown).await;
    }
    let Some(lease) = lock.acquire(shutdown).await else { return Ok(()) };
    tracing::info!(lease = lock.lease_name(), identity = config.identity, "became leader");
    if let Some(words) = parts.rules.words(&Notice::BecameLeader { identity: config.identity.clone() }, &config.target) {
        parts.recorder.tell(lease::reference(&lease), words);
    }
    let transitions = lease::transitions(&lease);
    let (owner, lease) = settle_owner(lock, Some(lease), config, watches, shutdown).await;
    let Some(lease) = lease else { return Ok(()) };

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
    let acting = Acting { access, owner, transitions };
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
/// else a new one; written on the lock, so that it stays.
async fn settle_owner(
    lock: &Lock,
    lease: Option<Lease>,
    config: &Config,
    watches: &mut Watches,
    shutdown: &CancellationToken,
) -> (String, Option<Lease>) {
    let kept = lease.as_ref().and_then(lease::owner);
    let owner = match config.owner.clone().or(kept) {
        Some(owner) => owner,
        None => {
            tokio::select! {
                () = watches.synced() => {}
                () = shutdown.cancelled() => {}
            }
            let known = watches.volumes.owners();
            if known.len() > 1 {
                tracing::warn!(owners = known.join(", "), "volumes name several deployments as their owner: set one with --owner");
            }
            known.into_iter().next().unwrap_or_else(|| uuid::Uuid::new_v4().to_string())
        }
    };
    let Some(lease) = lease else { return (owner, None) };
    match lock.set_owner(lease.clone(), &owner).await {
        Ok(lease) => (owner, Some(lease)),
        Err(error) => {
            tracing::warn!(cause = error.cause.category(), annotation = OWNER, "failed to {error}");
            (owner, Some(lease))
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
    let storage =
        Storage::new(seams.storage.clone(), parts.fence.clone(), config.limits.storage, config.limits.removal);
    tokio::select! {
        () = watches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    let ready = tokio::select! {
        ready = make_ready(&storage, &acting.owner, watches, parts) => ready,
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(export_id = ready.id, owner = acting.owner, records = parts.index.own().len(), "ready");
    let scope = Scope {
        target: config.target.clone(),
        owner: acting.owner,
        export_id: ready.id,
        root: ready.root,
        finalizer: acting.access.finalizer,
        transitions: acting.transitions,
    };
    let share = Arc::new(Share::new(storage, parts.index.clone(), parts.rules.clone(), scope, config));
    watches.volumes.catch_up();

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
async fn make_ready(storage: &Storage, owner: &str, watches: &Watches, parts: &Parts) -> export::Export {
    let mut failures = 0;
    loop {
        match try_ready(storage, owner, watches, parts).await {
            Ok(ready) => return ready,
            Err(error) => {
                failures += 1;
                let delay = backoff::delay(failures, backoff::jitter()).min(Duration::from_secs(15));
                tracing::warn!(backend = storage.name(), cause = error.category(), ?delay, "the export is not ready: failed to {error}");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

async fn try_ready(storage: &Storage, owner: &str, watches: &Watches, parts: &Parts) -> Result<export::Export, StepError> {
    let known = watches.volumes.export_ids(owner);
    if known.len() > 1 {
        return Err(StepError::Export(format!("volumes of this deployment name several exports: {}", known.join(", "))));
    }
    let ready = export::prepare(storage, owner, known.first().map(String::as_str)).await?;
    let found = export::load(storage, owner).await?;
    parts.index.load_own(found.own);
    parts.index.load_foreign(found.foreign);
    Ok(ready)
}

/// Hands keys to at most `at_once` tasks until asked to stop, then waits for them, but no longer
/// than `patience`: what is left goes on from its record next time.
async fn dispatch<C, Q, F, W>(
    queue: Q,
    controller: Arc<C>,
    at_once: usize,
    patience: Duration,
    shutdown: &CancellationToken,
    work: F,
) where
    C: Send + Sync + 'static,
    Q: Fn(&C) -> &WorkQueue<String> + Copy + Send + 'static,
    F: Fn(Arc<C>, String, Slot) -> W,
    W: Future<Output = Next> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let slot = tokio::select! {
            () = shutdown.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot.ok(),
        };
        let key = tokio::select! {
            () = shutdown.cancelled() => break,
            key = queue(&controller).next() => key,
        };
        while let Some(ended) = tasks.try_join_next() {
            log_panic(ended);
        }
        let done = Done { controller: controller.clone(), queue, key: key.clone(), next: None };
        let job = work(controller.clone(), key, slot);
        tasks.spawn(async move {
            let mut done = done;
            done.next = Some(job.await);
        });
    }
    let drained = tokio::time::timeout(patience, async {
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(left = tasks.len(), "work is left to its records");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a worker panicked: {error}");
    }
}

/// Gives a key back to its queue, also when its task panics or is dropped.
struct Done<C, Q: Fn(&C) -> &WorkQueue<String>> {
    controller: Arc<C>,
    queue: Q,
    key: String,
    next: Option<Next>,
}

impl<C, Q: Fn(&C) -> &WorkQueue<String>> Drop for Done<C, Q> {
    fn drop(&mut self) {
        let queue = (self.queue)(&self.controller);
        match self.next {
            Some(Next::OnChange) => {}
            Some(Next::In(delay)) => queue.add_after(self.key.clone(), delay),
            // A defect of ours: neither lost nor repeated at once.
            None => queue.add_after(self.key.clone(), backoff::LONGEST),
        }
        queue.done(&self.key);
    }
}

/// The three watches and what they feed.
struct Watches {
    claims: Arc<Claims>,
    volumes: Arc<Volumes>,
    synced: [watch::Receiver<bool>; 3],
    _stop: DropGuard,
}

impl Watches {
    fn start(parts: &Parts) -> Self {
        let classes = Arc::new(Classes::default());
        let volumes = Arc::new(Volumes::new(parts.clone()));
        let claims = Arc::new(Claims::new(parts.clone(), classes.clone(), volumes.clone()));
        let stop = CancellationToken::new();

        let on_class = {
            let claims = claims.clone();
            move |change| match change {
                Change::There(class) => {
                    let name = ResourceExt::name_any(&class);
                    if classes.set(class) {
                        claims.class_changed(&name);
                    }
                }
                Change::Gone(class) => classes.remove(&ResourceExt::name_any(&class)),
                Change::Listed(names) => {
                    for gone in classes.names().iter().filter(|name| !names.contains(*name)) {
                        classes.remove(gone);
                    }
                }
            }
        };
        let on_volume = {
            let (claims, volumes) = (claims.clone(), volumes.clone());
            move |change| {
                for uid in volumes.observe(change) {
                    claims.volume_gone(&uid);
                }
            }
        };
        let on_claim = {
            let claims = claims.clone();
            move |change| claims.observe(change)
        };
        let synced = [
            follow("storageclasses", parts.cluster.watch_classes(), ResourceExt::name_any, on_class, &stop),
            follow("persistentvolumes", parts.cluster.watch_volumes(), ResourceExt::name_any, on_volume, &stop),
            follow(
                "persistentvolumeclaims",
                parts.cluster.watch_claims(),
                |claim| claim.uid().unwrap_or_default(),
                on_claim,
                &stop,
            ),
        ];
        Self { claims, volumes, synced, _stop: stop.drop_guard() }
    }

    /// Waits until each kind has been listed once.
    async fn synced(&mut self) {
        for synced in &mut self.synced {
            // The sender lives as long as the watch.
            synced.wait_for(|synced| *synced).await.ok();
        }
    }
}

/// Feeds a watch's changes to `take` until `stop`; the receiver turns true with the first complete
/// list. The stream itself lists again and backs off after errors.
fn follow<K: Send + 'static>(
    resource: &'static str,
    mut changes: Changes<K>,
    key: impl Fn(&K) -> String + Send + Sync + 'static,
    take: impl Fn(Change<K>) + Send + 'static,
    stop: &CancellationToken,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let stop = stop.clone();
    tokio::spawn(async move {
        let mut relist = Relist::default();
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return,
                next = changes.next() => next,
            };
            match next {
                Some(Ok(event)) => {
                    if let Some(change) = relist.change(event, &key) {
                        let listed = matches!(change, Change::Listed(_));
                        take(change);
                        if listed {
                            sender.send_replace(true);
                        }
                    }
                }
                Some(Err(error)) => tracing::warn!(resource, "the watch is interrupted and starts again: {error}"),
                None => return,
            }
        }
    });
    receiver
}

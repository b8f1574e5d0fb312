//! Wires client, lock, watches and the two controllers together; one token ends them all.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::access;
use crate::claims::Parts;
use crate::clock::{BootClock, Clock, Fence};
use crate::config::Config;
use crate::error::Error;
use crate::events;
use crate::health::Health;
use crate::http;
use crate::index::Index;
use crate::lease::{self, Lock};
use crate::metrics::Metrics;
use crate::seams::Seams;

mod act;
mod dispatch;
mod lead;
mod pages;
mod setup;
mod upkeep;
mod watches;

use lead::lead;
use pages::Desk;
pub use setup::{client, open_backend, real_seams};
use watches::Watches;

/// How long events waiting at the end may take to be written.
const FLUSH: Duration = Duration::from_secs(2);
/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// What a run stands on besides its seams; a test brings its own.
pub struct Surroundings {
    /// The clock the lock is judged by.
    pub clock: Arc<dyn Clock>,
    /// The open HTTP port, if there is one.
    pub listener: Option<TcpListener>,
}

/// Runs the provisioner until `shutdown`, which ends it cleanly: no new work, what is under way is
/// finished or left to its record, the lock is released.
///
/// # Errors
/// [`Error`] when a needed right is missing, the HTTP port cannot be had, or the lock is lost.
///
/// # Access control
/// [`access::RULES`].
pub async fn run(config: Config, seams: Seams, shutdown: CancellationToken) -> Result<(), Error> {
    let surroundings = Surroundings {
        clock: Arc::new(BootClock),
        listener: http::listen(config.operations.http)?,
    };
    run_in(surroundings, config, seams, shutdown).await
}

/// [`run`] with another clock or an HTTP port that is open already.
///
/// # Errors
/// Those of [`run`].
pub async fn run_in(
    surroundings: Surroundings,
    config: Config,
    seams: Seams,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Surroundings { clock, listener } = surroundings;
    banner(&config, seams.storage.name());
    let config = Arc::new(config);
    let fence = if config.leader_election {
        Fence::closed(clock.clone())
    } else {
        Fence::open(clock.clone())
    };
    let metrics = Arc::new(Metrics::new(seams.storage.name()));
    let health = Arc::new(Health::new(clock.now()));
    let component = format!("{}_{}", config.target.provisioner, config.identity);
    let (recorder, writer) = events::channel(
        seams.cluster.clone(),
        component,
        fence.clone(),
        metrics.clone(),
    );
    let parts = Parts {
        config: config.clone(),
        cluster: seams.cluster.clone(),
        rules: seams.rules.clone(),
        index: Arc::new(Index::default()),
        recorder: recorder.clone(),
        fence: fence.clone(),
        metrics: metrics.clone(),
    };
    let mut watches = Watches::start(&parts);
    let desk = Arc::new(Desk {
        clock: clock.clone(),
        fence: fence.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        index: parts.index.clone(),
        claims: watches.claims.clone(),
        volumes: watches.volumes.clone(),
        storage: seams.storage.clone(),
    });
    // Both end with this function.
    let _beating = AbortOnDropHandle::new(tokio::spawn(beat(desk.clone())));
    let _serving = listener.map(|listener| {
        AbortOnDropHandle::new(tokio::spawn(async move {
            let Err(error) = http::serve(listener, desk).await;
            tracing::error!(category = error.category(), "failed to {error}");
        }))
    });
    let _syncing = {
        let (synced, health) = (watches.all_synced(), health.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            synced.await;
            health.synced();
        }))
    };

    let access = tokio::select! {
        access = access::review(&*seams.cluster, &config.namespace, config.leader_election) => access?,
        () = shutdown.cancelled() => return Ok(()),
    };
    for rule in &access.missing {
        metrics.rule_missing(rule);
    }
    health.reviewed();
    let flush = CancellationToken::new();
    let mut telling = Telling {
        writing: Some(AbortOnDropHandle::new(tokio::spawn(
            writer.run(access.events, flush.clone()),
        ))),
        flush,
    };

    let lock = Arc::new(Lock {
        cluster: lease::objects::keep_on(
            access.lock,
            seams.cluster.clone(),
            clock.clone(),
            config.lease.duration,
        ),
        namespace: config.namespace.clone(),
        name: config.target.provisioner.lock_name(),
        identity: config.identity.clone(),
        times: config.lease,
        clock,
        fence,
    });
    let stop = shutdown.child_token();
    let ended = watches.ended.clone();
    let stage = Stage {
        parts: &parts,
        seams: &seams,
        health: &health,
    };
    let result = {
        let leading = lead(&lock, access, stage, &mut watches, &mut telling, &stop);
        tokio::pin!(leading);
        tokio::select! {
            result = &mut leading => result,
            () = ended.cancelled() => {
                stop.cancel();
                leading.await.and(Err(Error::Ended { task: "a watch" }))
            }
        }
    };
    telling.finish().await;
    result
}

/// What leading and acting need of a run.
#[derive(Clone, Copy)]
struct Stage<'a> {
    parts: &'a Parts,
    seams: &'a Seams,
    health: &'a Health,
}

/// The task that writes events.
struct Telling {
    flush: CancellationToken,
    writing: Option<AbortOnDropHandle<()>>,
}

impl Telling {
    /// Writes what waits, for a short while. The lock has to be held for that: without it no event
    /// is written.
    async fn finish(&mut self) {
        self.flush.cancel();
        if let Some(writing) = self.writing.take()
            && tokio::time::timeout(FLUSH, writing).await.is_err()
        {
            tracing::warn!("some events could not be written before the end");
        }
    }
}

/// Tells that the event loop turns. What it looks at is behind the locks that all work takes, so a
/// deadlock there shows.
async fn beat(desk: Arc<Desk>) {
    let mut interval = tokio::time::interval(BEAT);
    loop {
        interval.tick().await;
        desk.census();
        desk.health.beat(desk.clock.now());
    }
}

/// What runs, with every setting in effect.
fn banner(config: &Config, backend: &str) {
    let directories = &config.attributes;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        provisioner = %config.target.provisioner,
        server = config.target.server,
        aliases = config.target.aliases.join(", "),
        export = %config.target.export,
        backend,
        backend_settings = ?config.backend,
        namespace = config.namespace,
        identity = config.identity,
        election = config.leader_election,
        lease = ?config.lease,
        owner = config.owner.as_deref().unwrap_or("as kept on the lock"),
        mode = %format_args!("{:04o}", directories.mode),
        uid = directories.uid,
        gid = directories.gid,
        class_defaults = ?config.directories,
        unknown_parameters = ?config.unknown_parameters,
        workers = ?config.workers,
        limits = ?config.limits,
        operations = ?config.operations,
        "starting"
    );
}

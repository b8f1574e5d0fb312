//! The three watches and where their changes go.

use std::sync::Arc;

use futures::StreamExt;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::caches::{Change, Classes, Relist};
use crate::claims::{Claims, Parts};
use crate::cluster::Changes;
use crate::metrics::Metrics;
use crate::volumes::Volumes;

/// The three watches and what they feed.
pub(super) struct Watches {
    pub(super) claims: Arc<Claims>,
    pub(super) volumes: Arc<Volumes>,
    synced: [watch::Receiver<bool>; 3],
    /// Cancelled when a watch has ended: without it changes would be missed silently.
    pub(super) ended: CancellationToken,
    _stop: DropGuard,
}

impl Watches {
    pub(super) fn start(parts: &Parts) -> Self {
        let classes = Arc::new(Classes::default());
        let volumes = Arc::new(Volumes::new(parts.clone(), classes.clone()));
        let claims = Arc::new(Claims::new(parts.clone(), classes.clone(), volumes.clone()));
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();

        let on_class = {
            let (claims, volumes) = (claims.clone(), volumes.clone());
            move |change| match change {
                Change::There(class) => {
                    let name = ResourceExt::name_any(&class);
                    if classes.set(class) {
                        claims.class_changed(&name);
                        volumes.class_changed(&name);
                    }
                }
                Change::Gone(class) => classes.remove(&ResourceExt::name_any(&class)),
                Change::Listing => {}
                Change::Listed(names) => {
                    for gone in classes.names().iter().filter(|name| !names.contains(*name)) {
                        classes.remove(gone);
                    }
                }
            }
        };
        let on_volume = {
            let (claims, volumes) = (claims.clone(), volumes.clone());
            let pace = parts.recorder.pace();
            move |change| {
                pace.stir();
                for uid in volumes.observe(&change) {
                    claims.volume_gone(&uid);
                }
                claims.volumes_seen(&change);
            }
        };
        let on_claim = {
            let (claims, pace) = (claims.clone(), parts.recorder.pace());
            move |change| {
                pace.stir();
                claims.observe(change);
            }
        };
        // An API that was away failed whatever was tried meanwhile: it is tried again at once.
        let recovered = {
            let (claims, volumes) = (claims.clone(), volumes.clone());
            move || {
                claims.queue.hasten();
                volumes.queue.hasten();
            }
        };
        let ends = (&stop, &ended, &parts.metrics);
        let synced = [
            follow(
                "storageclasses",
                parts.cluster.watch_classes(),
                ResourceExt::name_any,
                on_class,
                recovered.clone(),
                ends,
            ),
            follow(
                "persistentvolumes",
                parts.cluster.watch_volumes(),
                ResourceExt::name_any,
                on_volume,
                recovered.clone(),
                ends,
            ),
            follow(
                "persistentvolumeclaims",
                parts.cluster.watch_claims(),
                |claim| claim.uid().unwrap_or_default(),
                on_claim,
                recovered,
                ends,
            ),
        ];
        Self {
            claims,
            volumes,
            synced,
            ended,
            _stop: stop.drop_guard(),
        }
    }

    /// Waits until each kind has been listed once; for ever if a watch ends before.
    pub(super) async fn synced(&mut self) {
        all_true(&mut self.synced).await;
    }

    /// The same for a task of its own.
    pub(super) fn all_synced(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut synced = self.synced.clone();
        async move { all_true(&mut synced).await }
    }
}

async fn all_true(receivers: &mut [watch::Receiver<bool>]) {
    for receiver in receivers {
        if receiver.wait_for(|synced| *synced).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Feeds a watch's changes to `take` until `stop`; the receiver turns true with the first complete
/// list. The stream itself lists again and backs off after errors; should it end all the same, or
/// this task panic, `ended` is cancelled. `recovered` is called with the first change after an
/// error.
fn follow<K: Send + 'static>(
    resource: &'static str,
    mut changes: Changes<K>,
    key: impl Fn(&K) -> String + Send + Sync + 'static,
    take: impl Fn(Change<K>) + Send + 'static,
    recovered: impl Fn() + Send + 'static,
    (stop, ended, metrics): (&CancellationToken, &CancellationToken, &Arc<Metrics>),
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let (stop, metrics) = (stop.clone(), metrics.clone());
    let ended = ended.clone().drop_guard();
    tokio::spawn(async move {
        let _ended = ended;
        let mut relist = Relist::default();
        let mut interrupted = false;
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return,
                next = changes.next() => next,
            };
            match next {
                Some(Ok(event)) => {
                    if std::mem::take(&mut interrupted) {
                        recovered();
                    }
                    let change = relist.change(event, &key);
                    let listed = matches!(change, Change::Listed(_));
                    take(change);
                    if listed {
                        sender.send_replace(true);
                    }
                }
                Some(Err(error)) => {
                    interrupted = true;
                    metrics.watch_interrupted(resource);
                    tracing::warn!(
                        resource,
                        "the watch is interrupted and starts again: {error}"
                    );
                }
                None => return,
            }
        }
    });
    receiver
}

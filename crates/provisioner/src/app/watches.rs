//! The three watches and where their changes go.

use std::sync::Arc;

use futures::StreamExt;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::caches::{Change, Classes, Relist};
use crate::claims::{Claims, Parts};
use crate::cluster::Changes;
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
        let volumes = Arc::new(Volumes::new(parts.clone()));
        let claims = Arc::new(Claims::new(parts.clone(), classes.clone(), volumes.clone()));
        let stop = CancellationToken::new();
        let ended = CancellationToken::new();

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
            follow(
                "storageclasses",
                parts.cluster.watch_classes(),
                ResourceExt::name_any,
                on_class,
                (&stop, &ended),
            ),
            follow(
                "persistentvolumes",
                parts.cluster.watch_volumes(),
                ResourceExt::name_any,
                on_volume,
                (&stop, &ended),
            ),
            follow(
                "persistentvolumeclaims",
                parts.cluster.watch_claims(),
                |claim| claim.uid().unwrap_or_default(),
                on_claim,
                (&stop, &ended),
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
        for synced in &mut self.synced {
            if synced.wait_for(|synced| *synced).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Feeds a watch's changes to `take` until `stop`; the receiver turns true with the first complete
/// list. The stream itself lists again and backs off after errors; should it end all the same, or
/// this task panic, `ended` is cancelled.
fn follow<K: Send + 'static>(
    resource: &'static str,
    mut changes: Changes<K>,
    key: impl Fn(&K) -> String + Send + Sync + 'static,
    take: impl Fn(Change<K>) + Send + 'static,
    (stop, ended): (&CancellationToken, &CancellationToken),
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let stop = stop.clone();
    let ended = ended.clone().drop_guard();
    tokio::spawn(async move {
        let _ended = ended;
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
                Some(Err(error)) => tracing::warn!(
                    resource,
                    "the watch is interrupted and starts again: {error}"
                ),
                None => return,
            }
        }
    });
    receiver
}

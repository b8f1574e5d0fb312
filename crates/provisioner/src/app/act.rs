//! Making the export ready and working on it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::backoff;
use crate::claims::Claims;
use crate::decide::volume::Scope;
use crate::error::{Error, StepError};
use crate::export;
use crate::health::ExportState;
use crate::index::Index;
use crate::intents::Share;
use crate::scraps;
use crate::storage::Storage;
use crate::volumes::Volumes;

use super::Stage;
use super::dispatch::dispatch;
use super::upkeep::Upkeep;
use super::watches::Watches;

/// The longest wait between two looks at an export that is not ready.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How long what is being written on the export may go on once the process is asked to stop. It is
/// a few calls; an export that does not answer keeps nobody longer.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Under what this process acts.
pub(super) struct Acting {
    pub(super) access: Access,
    pub(super) owner: String,
    pub(super) transitions: i32,
}

/// Makes the export ready and works until asked to stop.
pub(super) async fn act(
    acting: Acting,
    stage: Stage<'_>,
    watches: &mut Watches,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let parts = stage.parts;
    let config = &parts.config;
    let storage = Storage::new(
        stage.seams.storage.clone(),
        parts.fence.clone(),
        config.limits.storage,
        config.limits.removal,
    )
    .measured(parts.metrics.clone());
    tokio::select! {
        () = watches.synced() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    let Some(ready) = make_ready(&storage, &acting.owner, watches, stage, shutdown).await else {
        return Ok(());
    };
    tracing::info!(
        export_id = ready.id,
        owner = acting.owner,
        backend = storage.name(),
        records = parts.index.own_count(),
        "ready"
    );
    let upkeep = Upkeep::new(storage.clone(), (&acting.owner, &ready.id), watches, stage);
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
    let taking_over = watches.volumes.take_over(&share, shutdown);
    if to_its_end(taking_over, shutdown).await.is_none() || shutdown.is_cancelled() {
        return Ok(());
    }
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
    tokio::select! {
        _ = async { tokio::join!(provisioning, reclaiming) } => {}
        () = upkeep.run() => {}
    }
    Ok(())
}

/// Tries until the export is the right one, is there and can be written. A fault of the export is
/// no reason to end: it may be mounted or come back at any time. `None` when asked to stop first.
async fn make_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    stage: Stage<'_>,
    shutdown: &CancellationToken,
) -> Option<export::Export> {
    let metrics = &stage.parts.metrics;
    let mut failures = 0;
    loop {
        let result = try_ready(storage, owner, watches, stage, shutdown).await?;
        if shutdown.is_cancelled() {
            return None;
        }
        match result {
            Ok(ready) => {
                stage.health.set_export(ExportState::Confirmed);
                metrics.export_ready(true);
                return Some(ready);
            }
            Err(error) => {
                failures += 1;
                let delay = backoff::delay(failures, backoff::jitter()).min(LOOK_AGAIN);
                tracing::warn!(
                    backend = storage.name(),
                    step = error.step(),
                    cause = error.category(),
                    attempt = failures,
                    ?delay,
                    "the export is not ready: failed to {error}"
                );
                stage
                    .health
                    .set_export(ExportState::Failed(format!("failed to {error}")));
                metrics.export_ready(false);
                unless_stopped(tokio::time::sleep(delay), shutdown).await?;
            }
        }
    }
}

/// One attempt. What only reads ends at once when asked to stop; what writes comes to its end, so
/// that nothing half-made is left.
async fn try_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    stage: Stage<'_>,
    shutdown: &CancellationToken,
) -> Option<Result<export::Export, StepError>> {
    let named = watches.volumes.by_export(owner);
    let known = match unless_stopped(export::expected(storage, owner, &named), shutdown).await? {
        Ok(known) => known,
        Err(error) => return Some(Err(error)),
    };
    if known.is_none() {
        let directories = watches.volumes.directories();
        let checked = export::check_volumes(storage, owner, &directories);
        if let Err(error) = unless_stopped(checked, shutdown).await? {
            return Some(Err(error));
        }
    }
    let writing = async {
        let ready = export::prepare(storage, owner, known.as_deref()).await?;
        let scraps = scraps::remove(storage, owner).await?;
        if scraps > 0 {
            tracing::info!(scraps, "removed what an interrupted process had left");
        }
        Ok(ready)
    };
    let ready = match to_its_end(writing, shutdown).await? {
        Ok(ready) => ready,
        Err(error) => return Some(Err(error)),
    };
    let loaded = unless_stopped(load(storage, owner, &stage.parts.index), shutdown).await?;
    Some(loaded.map(|()| ready))
}

/// Takes all records on the export into the index.
async fn load(storage: &Storage, owner: &str, index: &Index) -> Result<(), StepError> {
    // An attempt before this one may have failed halfway.
    index.forget_own();
    export::each_record(storage, owner, |record| index.set(record)).await?;
    index.load_foreign(export::load_foreign(storage, owner).await?);
    Ok(())
}

/// `None` when asked to stop first.
async fn unless_stopped<T>(
    work: impl Future<Output = T>,
    shutdown: &CancellationToken,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = shutdown.cancelled() => None,
    }
}

/// The same for work that leaves something behind if it is dropped: asked to stop, it may go on for
/// [`LAST_WRITES`].
async fn to_its_end<T>(work: impl Future<Output = T>, shutdown: &CancellationToken) -> Option<T> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => Some(done),
        () = shutdown.cancelled() => {
            let done = tokio::time::timeout(LAST_WRITES, work).await.ok();
            if done.is_none() {
                tracing::warn!(
                    "the export did not answer before the end: a temporary file may stay there until the next start"
                );
            }
            done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::mount::{MountBackend, MountOptions};
    use crate::clock::{BootClock, Fence};
    use crate::records::{Record, example};

    /// A record that was read by an attempt which then failed, and that is gone by the next one, is
    /// not remembered.
    #[tokio::test]
    async fn an_attempt_that_fails_halfway_leaves_nothing_to_the_next() {
        let export = tempfile::tempdir().unwrap();
        let records = export.path().join(".claimcheck/owner/records");
        std::fs::create_dir_all(&records).unwrap();
        for volume in ["pvc-1", "pvc-2"] {
            let record = Record {
                volume: volume.to_owned(),
                ..example()
            };
            std::fs::write(records.join(volume), record.to_bytes()).unwrap();
        }
        let broken = export.path().join(".claimcheck/other/records");
        std::fs::create_dir_all(broken.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("elsewhere", &broken).unwrap();

        let backend = Arc::new(MountBackend::new(MountOptions {
            path: export.path().to_str().unwrap().into(),
            allow_any_filesystem: true,
        }));
        let limit = Duration::from_secs(20);
        let fence = Fence::closed(Arc::new(BootClock));
        let storage = Storage::new(backend, fence, limit, limit);
        let index = Index::default();
        load(&storage, "owner", &index).await.unwrap_err();
        assert_eq!(index.own_count(), 2);

        std::fs::remove_file(broken).unwrap();
        std::fs::remove_file(records.join("pvc-1")).unwrap();
        load(&storage, "owner", &index).await.unwrap();
        assert_eq!(index.own_count(), 1);
        assert!(index.is_recorded("pvc-2"));
    }
}

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
    let ready = tokio::select! {
        ready = make_ready(&storage, &acting.owner, watches, stage) => ready,
        () = shutdown.cancelled() => return Ok(()),
    };
    tracing::info!(
        export_id = ready.id,
        owner = acting.owner,
        backend = storage.name(),
        records = parts.index.own().len(),
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
    tokio::select! {
        () = watches.volumes.take_over(&share) => {}
        () = shutdown.cancelled() => return Ok(()),
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
/// no reason to end: it may be mounted or come back at any time.
async fn make_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    stage: Stage<'_>,
) -> export::Export {
    let metrics = &stage.parts.metrics;
    let mut failures = 0;
    loop {
        match try_ready(storage, owner, watches, stage).await {
            Ok(ready) => {
                stage.health.set_export(ExportState::Confirmed);
                metrics.export_ready(true);
                return ready;
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
                tokio::time::sleep(delay).await;
            }
        }
    }
}

async fn try_ready(
    storage: &Storage,
    owner: &str,
    watches: &Watches,
    stage: Stage<'_>,
) -> Result<export::Export, StepError> {
    let known = watches.volumes.export_ids(owner);
    if known.len() > 1 {
        return Err(StepError::Export(format!(
            "volumes of this deployment name several exports: {}",
            known.join(", ")
        )));
    }
    let ready = export::prepare(storage, owner, known.first().map(String::as_str)).await?;
    let scraps = scraps::remove(storage, owner).await?;
    if scraps > 0 {
        tracing::info!(scraps, "removed what an interrupted process had left");
    }
    let found = export::load(storage, owner).await?;
    let index = &stage.parts.index;
    index.load_own(found.own);
    index.load_foreign(found.foreign);
    Ok(ready)
}

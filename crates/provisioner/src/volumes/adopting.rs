//! Taking over volumes that an older provisioner of our name made.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use tokio_util::sync::CancellationToken;

use super::{Volumes, claim_uid, lock, on_delete_of};
use crate::adopt;
use crate::backoff;
use crate::cluster;
use crate::error::StepError;
use crate::intents::{Adopted, Share};
use crate::records::{Record, State};

/// Volumes taken over at once.
const CONCURRENT: usize = 16;
/// The longest wait between two attempts to take over what was there.
const WAIT_MAX: Duration = Duration::from_secs(15);

impl Volumes {
    /// At the first start on an export: records every volume that was there before. Tries until
    /// that is done or `stop`, or returns at once where an earlier start has done it.
    pub(crate) async fn take_over(&self, share: &Share, stop: &CancellationToken) {
        let mut failures = 0;
        while let Err(error) = self.try_take_over(share, stop).await {
            failures += 1;
            let delay = backoff::delay(failures, backoff::jitter()).min(WAIT_MAX);
            tracing::warn!(
                cause = error.category(),
                ?delay,
                "the volumes that were there before are not taken over yet: failed to {error}"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// Asked to stop, or after an error, it begins no further volume and ends those it is at: each
    /// of them is writing a record.
    async fn try_take_over(
        &self,
        share: &Share,
        stop: &CancellationToken,
    ) -> Result<(), StepError> {
        if share.has_taken_over().await? {
            return Ok(());
        }
        let target = &self.parts.config.target;
        let ours = |volume: &PersistentVolume| self.rules().is_our_volume(target, volume);
        let volumes = cluster::listed("volumes", self.cluster().watch_volumes(), ours).await?;
        let enough = stop.child_token();
        let adopted: Vec<Result<bool, StepError>> = futures::stream::iter(volumes)
            .take_until(enough.cancelled())
            .map(|volume| {
                let enough = &enough;
                async move {
                    let adopted = self.adopt(share, &volume).await;
                    if adopted.is_err() {
                        enough.cancel();
                    }
                    adopted
                }
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let adopted = adopted.into_iter().collect::<Result<Vec<bool>, _>>()?;
        if stop.is_cancelled() {
            return Ok(());
        }
        share.note_taken_over().await?;
        let taken = adopted.iter().filter(|adopted| **adopted).count();
        tracing::info!(
            taken,
            left = adopted.len() - taken,
            "first start on this export: the volumes that were there before are taken over"
        );
        Ok(())
    }

    /// Takes one volume over if it can be; whether it has a record now.
    async fn adopt(&self, share: &Share, volume: &PersistentVolume) -> Result<bool, StepError> {
        let name = volume.name_any();
        let left = |cause: String| {
            tracing::warn!(pv = name, "not taken over: {cause}");
            false
        };
        let scope = share.scope();
        if let Some(cause) = adopt::other_deployment(&scope.owner, &scope.export_id, volume) {
            return Ok(left(cause));
        }
        let class = self.classes.get(adopt::class_name(volume));
        match adopt::assess(&scope.target, volume, class.as_deref()) {
            Err(cause) => Ok(left(cause.to_string())),
            Ok(adoption) => Ok(match share.adopt(&name, &adoption).await? {
                Adopted::Yes => true,
                Adopted::No(cause) => left(cause),
            }),
        }
    }

    /// Takes a volume over that an administrator hands to us. One that is known here gets its
    /// record back if somebody has removed it from the export.
    pub(super) async fn adopt_if_asked(
        &self,
        share: &Share,
        volume: &PersistentVolume,
    ) -> Result<(), StepError> {
        let name = volume.name_any();
        if !adopt::is_asked(volume) {
            return Ok(());
        }
        if self.index().is_recorded(&name) {
            return share.restore(&name).await;
        }
        self.adopt(share, volume).await?;
        Ok(())
    }

    /// A class is new or has changed: volumes that wait for its word are looked at at once.
    pub(crate) fn class_changed(&self, class: &str) {
        let waiting = self.index().own(|record| {
            (record.awaits_class.as_deref() == Some(class)).then(|| record.volume.clone())
        });
        for volume in waiting {
            lock(&self.backoff).reset(&volume);
            self.queue.add(volume);
        }
    }

    /// Notes what happens to a volume's directory once its class is back or an administrator has
    /// said it.
    pub(super) async fn settle_awaited(
        &self,
        share: &Share,
        volume: &PersistentVolume,
        record: &Record,
    ) -> Result<(), StepError> {
        let same_claim = claim_uid(volume).as_ref() == Some(&record.claim.uid);
        let (Some(awaited), true, State::Saved) = (&record.awaits_class, same_claim, record.state)
        else {
            return Ok(());
        };
        let provisioner = self.parts.config.target.provisioner.as_str();
        let ours = |class: &StorageClass| class.provisioner == provisioner;
        let class = self.classes.get(awaited).filter(|class| ours(class));
        let said = on_delete_of(volume).or_else(|| class.map(|class| adopt::class_policy(&class)));
        match said {
            Some(on_delete) => share.settle_policy(&record.volume, on_delete).await,
            None => Ok(()),
        }
    }
}

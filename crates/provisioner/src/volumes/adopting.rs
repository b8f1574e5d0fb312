//! Taking over volumes that an older provisioner of our name made.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

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
    /// that is done, or returns at once where an earlier start has done it.
    pub(crate) async fn take_over(&self, share: &Share) {
        let mut failures = 0;
        while let Err(error) = self.try_take_over(share).await {
            failures += 1;
            let delay = backoff::delay(failures, backoff::jitter()).min(WAIT_MAX);
            tracing::warn!(
                cause = error.category(),
                ?delay,
                "the volumes that were there before are not taken over yet: failed to {error}"
            );
            tokio::time::sleep(delay).await;
        }
    }

    async fn try_take_over(&self, share: &Share) -> Result<(), StepError> {
        if share.has_taken_over().await? {
            return Ok(());
        }
        let target = &self.parts.config.target;
        let ours = |volume: &PersistentVolume| self.rules().is_our_volume(target, volume);
        let volumes = cluster::listed("volumes", self.cluster().watch_volumes(), ours).await?;
        let adopted: Vec<bool> = futures::stream::iter(volumes)
            .map(|volume| async move { self.adopt(share, &volume).await })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
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

    /// Takes a volume over that an administrator hands to us.
    pub(super) async fn adopt_if_asked(
        &self,
        share: &Share,
        volume: &PersistentVolume,
    ) -> Result<(), StepError> {
        if self.wants_adoption(volume) {
            self.adopt(share, volume).await?;
        }
        Ok(())
    }

    pub(super) fn wants_adoption(&self, volume: &PersistentVolume) -> bool {
        adopt::is_asked(volume) && self.index().record(&volume.name_any()).is_none()
    }

    /// A class is new or has changed: volumes that wait for its word are looked at at once.
    pub(crate) fn class_changed(&self, class: &str) {
        for record in self.index().own() {
            if record.awaits_class.as_deref() == Some(class) {
                lock(&self.backoff).reset(&record.volume);
                self.queue.add(record.volume);
            }
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

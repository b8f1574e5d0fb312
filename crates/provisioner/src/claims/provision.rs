//! Provisioning one claim, and settling one that needs no volume any more.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use tokio::time::Instant;

use super::{CREATION_SETTLES, Claims, Next, SOON, lock, uid_of};
use crate::class::{ClassParameters, OnDelete};
use crate::cluster::ApiCause;
use crate::constants::{EXPORT_ID, PROVISIONED_BY};
use crate::decide::volume::{Scope, VolumeRequest};
use crate::decide::{Refusal, attributes, class_name, reclaim};
use crate::error::StepError;
use crate::events::Notice;
use crate::intents::{MakeRequest, Share};
use crate::path::RelativePath;
use crate::records::{Origin, Record, State};

impl Claims {
    pub(super) async fn provision(
        &self,
        share: &Share,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
    ) -> Result<Next, StepError> {
        let uid = uid_of(claim);
        let mut parameters = self
            .rules
            .class_parameters(class, self.config.unknown_parameters)?;
        parameters.directories = parameters.directories.or(self.config.directories);
        if !parameters.ignored.is_empty() {
            tracing::warn!(
                class = class.name_any(),
                parameters = parameters.ignored.join(", "),
                "unknown class parameters are ignored"
            );
        }
        let attributes = self
            .rules
            .attributes(self.config.attributes, &parameters, claim)?;
        let without_effect = attributes::without_effect(&parameters.directories, claim);
        if !without_effect.is_empty() {
            tracing::info!(
                uid,
                annotations = without_effect.join(", "),
                "the class does not let claims set this: it has no effect"
            );
        }
        let volume = self.rules.volume_name(claim);
        let on_delete = self.rules.on_delete(&parameters);
        if self.volumes.is_present(&volume)
            && let Some(found) = self.cluster.get_volume(&volume).await?
        {
            return self
                .recognise(share, claim, class, (&parameters, on_delete), &found)
                .await;
        }
        let started = Instant::now();
        let planned = share
            .plan(MakeRequest {
                claim,
                volume: &volume,
                parameters: &parameters,
                on_delete,
                attributes,
            })
            .await?;
        let name = format!(
            "{}/{}",
            claim.namespace().unwrap_or_default(),
            claim.name_any()
        );
        self.tell(claim, &Notice::Provisioning { claim: name });
        let record = share.make(planned).await?;
        let wanted = self.wanted(
            share,
            claim,
            class,
            &volume,
            (&record.directory, record.origin, record.on_delete),
        );
        self.fence.check()?;
        // Before the call: the attempt may end during it.
        let earlier = lock(&self.unanswered).insert(uid.clone(), Instant::now() + CREATION_SETTLES);
        let creating = self.reach.creating(&volume);
        let creation = self.cluster.create_volume(&wanted);
        match self.fence.guard(creation).await? {
            Ok(created) => {
                creating.made(created.metadata.uid.as_deref());
                self.go_ahead();
            }
            Err(error) if error.cause == ApiCause::AlreadyExists => {
                let found = self.cluster.get_volume(&volume).await?.ok_or(error)?;
                if !self.rules.is_same_volume(&wanted, &found) {
                    self.not_created(&uid, earlier);
                    return Err(self.taken(share, &uid, volume).await);
                }
                // Stored before, perhaps by another process, and perhaps seen Bound already: noted now.
                self.metrics.provisioned(claim, started.elapsed());
                return Ok(self.stored(share, claim, &volume, &found).await);
            }
            Err(error) => {
                if !error.cause.is_uncertain() {
                    self.not_created(&uid, earlier);
                }
                return Err(error.into());
            }
        }
        self.metrics.provisioned(claim, started.elapsed());
        tracing::info!(
            claim = %format!("{}/{}", record.claim.namespace, record.claim.name), uid, pv = volume, class = class.name_any(),
            dir = %record.directory, origin = record.origin.as_str(), elapsed = ?started.elapsed(), "provisioned"
        );
        self.told_stored(claim, &volume);
        // Noted in the record when the claim is seen Bound: until then nothing can be in the
        // directory, and a burst has better things to do.
        Ok(Next::OnChange)
    }

    /// A creation was refused: only an earlier one may still happen.
    fn not_created(&self, uid: &str, earlier: Option<Instant>) {
        let mut unanswered = lock(&self.unanswered);
        match earlier {
            Some(earlier) => unanswered.insert(uid.to_owned(), earlier),
            None => unanswered.remove(uid),
        };
    }

    /// The volume's name is somebody else's, as when another deployment of our name serves the claim
    /// from another export: what was made for it goes at once, unless a creation of ours may still
    /// happen (nfs-subdir #310).
    async fn taken(&self, share: &Share, uid: &str, volume: String) -> StepError {
        if self.unanswered_for(uid).is_none()
            && let Err(error) = share.abandon(&volume).await
        {
            tracing::warn!(
                pv = volume,
                cause = error.category(),
                "what was made for the claim is still there: failed to {error}"
            );
        }
        Refusal::VolumeTaken { volume }.into()
    }

    /// The volume object is there and is this claim's: tells so.
    fn told_stored(&self, claim: &PersistentVolumeClaim, volume: &str) {
        lock(&self.unanswered).remove(&uid_of(claim));
        self.tell(
            claim,
            &Notice::ProvisioningSucceeded {
                volume: volume.to_owned(),
            },
        );
    }

    /// [`Self::told_stored`], and notes it in the record.
    async fn stored(
        &self,
        share: &Share,
        claim: &PersistentVolumeClaim,
        volume: &str,
        object: &PersistentVolume,
    ) -> Next {
        self.told_stored(claim, volume);
        let policy = object
            .spec
            .as_ref()
            .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
        match share.saved(volume, policy).await {
            Ok(()) => Next::OnChange,
            Err(error) => {
                // The claim is served; only the record lags behind, and is brought up at once.
                tracing::warn!(pv = volume, cause = error.category(), "failed to {error}");
                Next::In(SOON)
            }
        }
    }

    /// A volume of the wanted name is there already: ours from before, or somebody else's. Nothing
    /// is made either way.
    async fn recognise(
        &self,
        share: &Share,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        (parameters, on_delete): (&ClassParameters, OnDelete),
        found: &PersistentVolume,
    ) -> Result<Next, StepError> {
        let volume = found.name_any();
        let record = share.index().record(&volume);
        let wanted = if let Some(record) = &record {
            self.wanted(
                share,
                claim,
                class,
                &volume,
                (&record.directory, record.origin, record.on_delete),
            )
        } else {
            let directory =
                self.rules
                    .directory(&self.config.target, parameters, claim, &volume)?;
            self.wanted(
                share,
                claim,
                class,
                &volume,
                (&directory, Origin::Created, on_delete),
            )
        };
        if !self.rules.is_same_volume(&wanted, found) {
            return Err(self.taken(share, &uid_of(claim), volume).await);
        }
        if record.is_some() {
            return Ok(self.stored(share, claim, &volume, found).await);
        }
        Ok(Next::OnChange)
    }

    fn wanted(
        &self,
        share: &Share,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        name: &str,
        (directory, origin, on_delete): (&RelativePath, Origin, OnDelete),
    ) -> PersistentVolume {
        let scope = share.scope();
        self.rules.volume_object(&VolumeRequest {
            scope,
            claim,
            class,
            name,
            directory,
            origin,
            on_delete,
        })
    }

    /// A claim that wants no volume any more: what was made for it and has no volume object goes.
    pub(super) async fn settle(&self, share: &Share, uid: &str) -> Result<Next, StepError> {
        let mut next = Next::OnChange;
        for known in share.index().of_claim(uid) {
            let _turn = share.turn(&known.volume).await;
            let Some(record) = share.index().record(&known.volume) else {
                continue;
            };
            if !matches!(record.state, State::Intent | State::Ready) {
                continue;
            }
            if record.state == State::Ready
                && let Some(policy) = self.volumes.policy_for(share.scope(), &record.volume, uid)
            {
                // Its release, if it comes to that, is seen in the watch of volumes.
                share.saved(&record.volume, Some(&policy)).await?;
                continue;
            }
            let live = self
                .cluster
                .get_claim(&record.claim.namespace, &record.claim.name)
                .await?;
            let waiting = live.as_ref().is_some_and(|claim| {
                claim.metadata.uid.as_deref() == Some(uid)
                    && claim.metadata.deletion_timestamp.is_none()
                    && claim
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.volume_name.as_deref())
                        .unwrap_or_default()
                        .is_empty()
            });
            if waiting {
                continue;
            }
            match self.cluster.get_volume(&record.volume).await? {
                Some(found) if is_made_for(share.scope(), &found, &record) => {
                    // Its release, if it comes to that, is seen in the watch of volumes.
                    let policy = found
                        .spec
                        .as_ref()
                        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
                    share.saved(&record.volume, policy).await?;
                }
                _ => match self.unanswered_for(uid) {
                    Some(left) => next = Next::In(left),
                    None => share.abandon(&record.volume).await?,
                },
            }
        }
        if next == Next::OnChange {
            lock(&self.unanswered).remove(uid);
        }
        Ok(next)
    }

    fn unanswered_for(&self, uid: &str) -> Option<std::time::Duration> {
        let until = *lock(&self.unanswered).get(uid)?;
        until
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }

    pub(super) fn tell_failure(&self, claim: &PersistentVolumeClaim, error: &StepError) {
        let notice = match error {
            StepError::Refused(Refusal::Block) => Notice::BlockUnsupported,
            // Whoever holds the lease now tells what happens.
            StepError::Fenced(_) => return,
            StepError::Refused(refusal) => failed(claim, refusal.to_string()),
            other => failed(claim, other.to_string()),
        };
        self.metrics.provision_failed(claim);
        self.tell(claim, &notice);
    }
}

fn failed(claim: &PersistentVolumeClaim, cause: String) -> Notice {
    Notice::ProvisioningFailed {
        class: class_name(claim).unwrap_or_default().to_owned(),
        cause,
    }
}

/// Whether a volume object is the one that a record was written for. Another deployment of our name
/// may have made one for the same claim, on its own export.
fn is_made_for(scope: &Scope, volume: &PersistentVolume, record: &Record) -> bool {
    let claim = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.claim_ref.as_ref())
        .and_then(|claim| claim.uid.as_deref());
    let annotations = volume.annotations();
    let is_here = match annotations.get(EXPORT_ID) {
        Some(id) => *id == scope.export_id,
        None => {
            reclaim::volume_directory(&scope.target, volume).as_ref() == Some(&record.directory)
        }
    };
    claim == Some(record.claim.uid.as_str())
        && is_here
        && annotations
            .get(PROVISIONED_BY)
            .is_some_and(|name| name == scope.target.provisioner.as_str())
}

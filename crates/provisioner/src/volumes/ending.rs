//! The end of a volume: its directory, its object, its finalizer, its record.

use kube::ResourceExt;

use k8s_openapi::api::core::v1::PersistentVolume;

use super::{Volumes, has_finalizer, is_going, lock};
use crate::backoff;
use crate::claims::Next;
use crate::class::OnDelete;
use crate::cluster::{ApiCause, Deletion};
use crate::constants::{DELETE, VOLUME_FINALIZER};
use crate::decide::reclaim::{Disposal, RemovalStep};
use crate::error::StepError;
use crate::intents::{Disposed, Share, Slot};
use crate::records::{Record, State};

/// How often the finalizer is tried again at once.
const FINALIZER_ATTEMPTS: u32 = 5;

impl Volumes {
    /// Both halves of a deletion, then the record.
    pub(super) async fn end(
        &self,
        share: &Share,
        volume: &PersistentVolume,
        ending: Ending,
        slot: &mut Slot,
    ) -> Result<(), StepError> {
        let name = volume.name_any();
        let mut disposed = Disposed::Done;
        for step in self.rules().removal_order() {
            match (step, &ending) {
                (RemovalStep::Directory, Ending::Keep(cause)) => {
                    disposed = Disposed::Kept(Some(cause.clone()));
                }
                (RemovalStep::Directory, Ending::Apply(how)) => {
                    disposed = share.dispose(&name, *how, slot).await?;
                }
                (RemovalStep::Volume, _) => self.delete(volume).await?,
            }
        }
        if let Some(cause) = disposed.kept_because() {
            self.tell_kept(volume, cause.to_owned());
        }
        let record = self.index().record(&name);
        let claim = record.as_ref().map(|record| &record.claim);
        tracing::info!(
            claim = claim.map(|claim| format!("{}/{}", claim.namespace, claim.name)),
            uid = claim.map(|claim| claim.uid.as_str()),
            pv = name,
            class = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.as_deref()),
            dir = record.as_ref().map(|record| record.directory.to_string()),
            ?ending,
            ?disposed,
            "reclaimed"
        );
        let waiting = self.index().around(&name);
        share.finish(&name, &disposed).await?;
        self.look_at(waiting);
        Ok(())
    }

    async fn delete(&self, volume: &PersistentVolume) -> Result<(), StepError> {
        let name = volume.name_any();
        let uid = volume.metadata.uid.clone().unwrap_or_default();
        let deletion = self.cluster().delete_volume(&name, &uid);
        match self.parts.fence.guard(deletion).await?? {
            Deletion::Going(left) => self.let_go(*left).await,
            Deletion::Gone | Deletion::Other => Ok(()),
        }
    }

    /// Takes our finalizer off a volume that is being deleted.
    pub(super) async fn let_go(&self, mut volume: PersistentVolume) -> Result<(), StepError> {
        let name = volume.name_any();
        let uid = volume.metadata.uid.clone();
        for attempt in 0.. {
            if !is_going(&volume) || !has_finalizer(&volume) {
                return Ok(());
            }
            let others: Vec<String> = volume
                .finalizers()
                .iter()
                .filter(|finalizer| *finalizer != VOLUME_FINALIZER)
                .cloned()
                .collect();
            let version = volume.metadata.resource_version.clone().unwrap_or_default();
            let patch = self.cluster().set_finalizers(&name, &version, &others);
            match self.parts.fence.guard(patch).await? {
                Ok(()) => return Ok(()),
                // The protection controller took its own finalizer off in between: see what is left.
                Err(error) if error.cause == ApiCause::Conflict && attempt < FINALIZER_ATTEMPTS => {
                }
                Err(error) => return Err(error.into()),
            }
            match self.cluster().get_volume(&name).await? {
                Some(found) if found.metadata.uid == uid => volume = found,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Notes what the watch showed last of a volume object that is gone: an administrator may have
    /// edited and deleted it before it could be read again. Of that and the record, what keeps more
    /// counts, since the record may hold what was read when the watch lagged behind.
    async fn note_last_words(&self, share: &Share, name: &str) -> Result<(), StepError> {
        let record = self.index().record(name);
        let last = lock(&self.departed).get(name).and_then(|seen| {
            let (record, ours) = (record?, seen.ours.as_ref()?);
            if seen.claim_uid.as_ref() != Some(&record.claim.uid) || record.state == State::Kept {
                return None;
            }
            let policy = ours.common.policy.clone().filter(|policy| policy != DELETE);
            let on_delete = ours.on_delete.filter(|said| *said > record.on_delete);
            Some((policy, on_delete))
        });
        if let Some((policy, on_delete)) = last {
            share.note(name, policy.as_deref(), on_delete).await?;
        }
        lock(&self.departed).remove(name);
        Ok(())
    }

    /// A volume object that is gone although we have a record: deleted before its claim, or by us
    /// just before a crash.
    pub(super) async fn settle_gone(
        &self,
        share: &Share,
        name: &str,
        slot: &mut Slot,
    ) -> Result<Next, StepError> {
        self.note_last_words(share, name).await?;
        let Some(record) = self.index().record(name) else {
            return Ok(Next::OnChange);
        };
        if !matches!(
            record.state,
            State::Saved | State::Deleting | State::Archiving
        ) {
            return Ok(Next::OnChange);
        }
        let claim = self
            .cluster()
            .get_claim(&record.claim.namespace, &record.claim.name)
            .await?;
        if claim.is_some_and(|claim| claim.metadata.uid.as_ref() == Some(&record.claim.uid)) {
            // The end of the claim is seen in the other watch.
            return Ok(Next::OnChange);
        }
        if share.is_ended_by_twin(name).await? {
            return Ok(Next::OnChange);
        }
        let disposed = match self.rules().disposal_without_volume(&record) {
            Disposal::Apply(how) if let Some(cause) = self.holds_another(name, how) => {
                tracing::warn!(pv = name, dir = %record.directory, "not reclaimed: {cause}");
                return Ok(Next::In(backoff::LONGEST));
            }
            Disposal::Apply(how) => share.dispose(name, how, slot).await?,
            Disposal::Keep(cause)
            | Disposal::LeaveAlone(cause)
            | Disposal::Foreign(cause)
            | Disposal::Blocked(cause) => Disposed::Kept(Some(cause)),
        };
        report(&record, &disposed);
        let waiting = self.index().around(name);
        share.finish(name, &disposed).await?;
        self.look_at(waiting);
        Ok(Next::OnChange)
    }
}

/// What is done to the directory of a volume that goes.
#[derive(Debug)]
pub(super) enum Ending {
    Keep(String),
    Apply(OnDelete),
}

fn report(record: &Record, disposed: &Disposed) {
    let (pv, dir) = (&record.volume, &record.directory);
    match disposed {
        Disposed::Done => {
            tracing::info!(pv, %dir, "reclaimed a volume that was deleted before its claim");
        }
        Disposed::Kept(None) => {
            tracing::info!(pv, %dir, "the directory of a volume deleted before its claim is kept, as asked");
        }
        Disposed::Shared(cause) => {
            tracing::info!(pv, %dir, "the directory of a volume deleted before its claim stays: {cause}");
        }
        Disposed::Kept(Some(cause)) => {
            tracing::warn!(pv, %dir, "the directory of a volume deleted before its claim is kept: {cause}");
        }
    }
}

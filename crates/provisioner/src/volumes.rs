//! The volume controller: sees volumes, and reclaims those of ours whose claim is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use tokio::time::Instant;

use crate::adopt;
use crate::backoff::{self, Backoff};
use crate::caches::{Change, Classes};
use crate::claims::{Next, Parts};
use crate::class::OnDelete;
use crate::cluster::ClusterApi;
use crate::constants::{DELETE, EXPORT_ID, OWNER};
use crate::decide::reclaim::{self, Disposal};
use crate::decide::volume::Scope;
use crate::error::StepError;
use crate::events::{Notice, Recorder, volume_reference};
use crate::export::Named;
use crate::index::Index;
use crate::intents::{Share, Slot};
use crate::path::RelativePath;
use crate::queue::WorkQueue;
use crate::records::{Record, State};
use crate::rules::Rules;

mod adopting;
mod ending;
mod free;
mod seen;

use ending::Ending;
use free::Free;
use seen::{
    Common, Commons, Ours, Seen, claim_uid, content, has_finalizer, is_going, on_delete_of,
    policy_of,
};

/// How soon a released volume is looked at again whose claim is still there: the API server and
/// the controller manager disagree for a moment.
const DISAGREEMENT: Duration = Duration::from_secs(2);

/// See the module.
pub struct Volumes {
    parts: Parts,
    /// Only the class of a volume that was taken over without it is ever looked at.
    classes: Arc<Classes>,
    seen: Mutex<HashMap<String, Seen>>,
    commons: Commons,
    free: Free,
    /// What was shown last of volumes that are gone and have a record still.
    departed: Mutex<HashMap<String, Seen>>,
    backoff: Mutex<Backoff<String>>,
    pub(crate) queue: WorkQueue<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Volumes {
    pub(crate) fn new(parts: Parts, classes: Arc<Classes>) -> Self {
        Self {
            parts,
            classes,
            seen: Mutex::default(),
            commons: Commons::default(),
            free: Free::default(),
            departed: Mutex::default(),
            backoff: Mutex::default(),
            queue: WorkQueue::default(),
        }
    }

    fn rules(&self) -> &dyn Rules {
        &*self.parts.rules
    }

    fn cluster(&self) -> &dyn ClusterApi {
        &*self.parts.cluster
    }

    fn index(&self) -> &Index {
        &self.parts.index
    }

    fn recorder(&self) -> &Recorder {
        &self.parts.recorder
    }

    /// Whether a volume object of that name exists, as far as the watch has shown.
    pub(crate) fn is_present(&self, volume: &str) -> bool {
        lock(&self.seen).contains_key(volume)
    }

    /// Whether the controller-manager might bind a claim to a volume that has none, as far as the
    /// watch has shown.
    pub(crate) fn might_serve(&self, claim: &PersistentVolumeClaim) -> bool {
        self.free.might_serve(claim)
    }

    /// The reclaim policy of a volume of this deployment on this export that was made for the claim
    /// with this UID, as far as the watch has shown; `None` without such a volume.
    pub(crate) fn policy_for(&self, scope: &Scope, volume: &str, uid: &str) -> Option<String> {
        let seen = lock(&self.seen);
        let (seen, ours) = seen.get(volume).and_then(|s| Some((s, s.ours.as_ref()?)))?;
        let here = ours.common.owner.as_ref() == Some(&scope.owner)
            && ours.common.export_id.as_ref() == Some(&scope.export_id)
            && !ours.gone_for_us;
        (here && seen.claim_uid.as_deref() == Some(uid)).then(|| ours.common.policy.clone())?
    }

    /// Takes a change the watch shows; the UIDs of claims whose volume has gone.
    pub(crate) fn observe(&self, change: &Change<PersistentVolume>) -> Vec<String> {
        match change {
            Change::There(volume) => {
                self.see(volume);
                Vec::new()
            }
            Change::Gone(volume) => self.gone(&volume.name_any()).into_iter().collect(),
            Change::Listing => Vec::new(),
            Change::Listed(names) => {
                let gone: Vec<String> = lock(&self.seen)
                    .keys()
                    .filter(|name| !names.contains(*name))
                    .cloned()
                    .collect();
                gone.iter().filter_map(|name| self.gone(name)).collect()
            }
        }
    }

    fn see(&self, volume: &PersistentVolume) {
        let name = volume.name_any();
        let target = &self.parts.config.target;
        self.free.see(volume);
        self.index()
            .set_volume(&name, reclaim::volume_directory(target, volume).as_ref());
        let policy = policy_of(volume);
        let ours = self.rules().is_our_volume(target, volume).then(|| Ours {
            content: content(volume),
            common: self.commons.share(Common {
                policy: policy.map(str::to_owned),
                owner: volume.annotations().get(OWNER).cloned(),
                export_id: volume.annotations().get(EXPORT_ID).cloned(),
            }),
            on_delete: on_delete_of(volume),
            gone_for_us: is_going(volume) && !has_finalizer(volume),
        });
        let new = ours.as_ref().map(|ours| ours.content);
        let old = lock(&self.seen).insert(
            name.clone(),
            Seen {
                claim_uid: claim_uid(volume),
                ours,
            },
        );
        let old = old.and_then(|seen| seen.ours).map(|ours| ours.content);
        if new.is_none() || new == old {
            return;
        }
        lock(&self.backoff).reset(&name);
        if self.rules().is_reclaimable(volume)
            || (is_going(volume) && has_finalizer(volume))
            || self.differs(&name, policy, on_delete_of(volume))
            || adopt::is_asked(volume)
        {
            self.queue.add(name);
        }
    }

    fn gone(&self, name: &str) -> Option<String> {
        self.free.gone(name);
        let waiting = self.index().around(name);
        let seen = lock(&self.seen).remove(name);
        let claim_uid = seen.as_ref().and_then(|seen| seen.claim_uid.clone());
        self.index().set_volume(name, None);
        lock(&self.backoff).reset(&name.to_owned());
        if self.index().is_recorded(name) {
            lock(&self.departed).extend(seen.map(|seen| (name.to_owned(), seen)));
            self.queue.add(name.to_owned());
        }
        self.look_at(waiting);
        claim_uid
    }

    /// Whether the record says something else than the volume object does by now.
    fn differs(&self, name: &str, policy: Option<&str>, on_delete: Option<OnDelete>) -> bool {
        self.index().record(name).is_some_and(|record| {
            record.state == State::Saved
                && ((policy.is_some() && record.reclaim_policy.as_deref() != policy)
                    || on_delete.is_some_and(|on_delete| on_delete != record.on_delete))
        })
    }

    /// Whether there is nothing left to do about a volume, as far as the watch has shown.
    fn is_over(&self, name: &str) -> bool {
        self.index().record(name).is_none()
            && lock(&self.seen)
                .get(name)
                .and_then(|seen| seen.ours.as_ref())
                .is_none_or(|ours| ours.gone_for_us)
    }

    /// The records are known now: what was seen before is compared with them, and what an earlier
    /// process left unfinished after its volume object was gone goes on.
    pub(crate) fn catch_up(&self) {
        let differing: Vec<String> = {
            let seen = lock(&self.seen);
            let ours = seen
                .iter()
                .filter_map(|(name, seen)| Some((name, seen.ours.as_ref()?)));
            ours.filter(|(name, ours)| {
                self.differs(name, ours.common.policy.as_deref(), ours.on_delete)
            })
            .map(|(name, _)| name.clone())
            .collect()
        };
        let left = self.index().own(|record| {
            let begun = matches!(
                record.state,
                State::Saved | State::Deleting | State::Archiving
            );
            begun.then(|| record.volume.clone())
        });
        let left = left.into_iter().filter(|name| !self.is_present(name));
        for name in differing.into_iter().chain(left) {
            self.queue.add(name);
        }
    }

    /// How many volumes say they are ours and have no record here.
    pub(crate) fn unrecorded(&self) -> usize {
        let seen = lock(&self.seen);
        let ours = seen.iter().filter(|(_, seen)| seen.ours.is_some());
        ours.filter(|(name, _)| !self.index().is_recorded(name))
            .count()
    }

    /// The deployment ids on volumes that say they are ours, most frequent first.
    pub(crate) fn owners(&self) -> Vec<String> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for seen in lock(&self.seen).values() {
            if let Some(owner) = seen
                .ours
                .as_ref()
                .and_then(|ours| ours.common.owner.clone())
            {
                *counts.entry(owner).or_default() += 1;
            }
        }
        let mut owners: Vec<(String, usize)> = counts.into_iter().collect();
        owners.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        owners.into_iter().map(|(owner, _)| owner).collect()
    }

    /// The volumes that say they are of a deployment, by the id of the export that they name.
    pub(crate) fn by_export(&self, owner: &str) -> Named {
        let mut named = Named::new();
        for (name, seen) in lock(&self.seen).iter() {
            let ours = seen.ours.as_ref();
            let ours = ours.filter(|ours| ours.common.owner.as_deref() == Some(owner));
            if let Some(id) = ours.and_then(|ours| ours.common.export_id.clone()) {
                named.entry(id).or_default().push(name.clone());
            }
        }
        named
    }

    /// The directories of the volumes of ours that name neither deployment nor export, as those that
    /// nfs-subdir made.
    pub(crate) fn directories(&self) -> Vec<RelativePath> {
        let seen = lock(&self.seen);
        let unmarked = seen.iter().filter(|(_, seen)| {
            let common = seen.ours.as_ref().map(|ours| &ours.common);
            common.is_some_and(|common| common.owner.is_none() && common.export_id.is_none())
        });
        unmarked
            .filter_map(|(name, _)| self.index().directory_of(name))
            .collect()
    }

    fn tell(&self, volume: &PersistentVolume, notice: &Notice) {
        if let Some(words) = self.rules().words(notice, &self.parts.config.target) {
            self.recorder().tell(volume_reference(volume), words);
        }
    }

    fn tell_kept(&self, volume: &PersistentVolume, cause: String) {
        let path = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.nfs.as_ref())
            .map(|nfs| nfs.path.clone())
            .unwrap_or_default();
        self.tell(volume, &Notice::DirectoryKept { path, cause });
    }

    /// Works on one volume and says when to look again.
    pub(crate) async fn work(&self, share: &Share, name: &str, slot: &mut Slot) -> Next {
        match self.reconcile(share, name, slot).await {
            Ok(next) => {
                lock(&self.backoff).reset(&name.to_owned());
                next
            }
            Err(error) => {
                let failures = lock(&self.backoff).failed(name.to_owned());
                let delay = self.rules().retry(failures);
                self.parts.metrics.retried("volumes", error.category());
                let record = self.index().record(name);
                let claim = record.as_ref().map(|record| &record.claim);
                tracing::info!(
                    claim = claim.map(|claim| format!("{}/{}", claim.namespace, claim.name)),
                    uid = claim.map(|claim| claim.uid.as_str()),
                    pv = name,
                    dir = record.as_ref().map(|record| record.directory.to_string()),
                    step = error.step(),
                    attempt = failures,
                    cause = error.category(),
                    ?delay,
                    "not reclaimed: {error}"
                );
                delay.map_or(Next::OnChange, Next::In)
            }
        }
    }

    async fn reconcile(
        &self,
        share: &Share,
        name: &str,
        slot: &mut Slot,
    ) -> Result<Next, StepError> {
        if self.is_over(name) {
            lock(&self.departed).remove(name);
            return Ok(Next::OnChange);
        }
        let _turn = share.turn(name).await;
        let Some(volume) = self.cluster().get_volume(name).await? else {
            return self.settle_gone(share, name, slot).await;
        };
        // One of that name is there, and was read just now.
        lock(&self.departed).remove(name);
        if !self
            .rules()
            .is_our_volume(&self.parts.config.target, &volume)
        {
            return Ok(Next::OnChange);
        }
        let record = match self.recalled(share, &volume).await {
            Ok(record) => record,
            Err(error) => {
                let record = self.index().record(name);
                let disposal = self
                    .rules()
                    .disposal(share.scope(), &volume, record.as_ref());
                return Err(match disposal {
                    Disposal::Foreign(_) => error,
                    _ => self.failed(&volume, error),
                });
            }
        };
        if !self.rules().is_reclaimable(&volume) {
            let disposal = self
                .rules()
                .disposal(share.scope(), &volume, record.as_ref());
            let kept = policy_of(&volume).is_some_and(|policy| policy != DELETE);
            if kept && !matches!(disposal, Disposal::Foreign(_)) {
                self.let_go(volume).await?;
            }
            return Ok(Next::OnChange);
        }
        let reference = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.claim_ref.clone())
            .unwrap_or_default();
        let claim = match (&reference.namespace, &reference.name) {
            (Some(namespace), Some(name)) => self.cluster().get_claim(namespace, name).await?,
            _ => None,
        };
        if !self.rules().is_claim_gone(&volume, claim.as_ref()) {
            return Ok(Next::In(DISAGREEMENT));
        }
        let started = Instant::now();
        match self
            .rules()
            .disposal(share.scope(), &volume, record.as_ref())
        {
            Disposal::Foreign(cause) => {
                tracing::debug!(pv = name, "left alone: {cause}");
                Ok(Next::OnChange)
            }
            Disposal::LeaveAlone(cause) => {
                if is_going(&volume) {
                    self.let_go(volume).await?;
                } else {
                    self.tell_kept(&volume, cause);
                }
                Ok(Next::OnChange)
            }
            Disposal::Blocked(cause) => {
                self.tell(&volume, &Notice::DeleteFailed { cause });
                Ok(Next::In(backoff::LONGEST))
            }
            Disposal::Keep(cause) => {
                let result = self.end(share, &volume, Ending::Keep(cause), slot).await;
                self.told(&volume, started, result)
            }
            Disposal::Apply(how) if let Some(cause) = self.holds_another(name, how) => {
                self.tell(&volume, &Notice::DeleteFailed { cause });
                Ok(Next::In(backoff::LONGEST))
            }
            Disposal::Apply(how) => {
                let result = self.end(share, &volume, Ending::Apply(how), slot).await;
                self.told(&volume, started, result)
            }
        }
    }

    /// Volumes that may have waited for the end of another one.
    fn look_at(&self, waiting: Vec<String>) {
        for name in waiting {
            lock(&self.backoff).reset(&name);
            self.queue.add(name);
        }
    }

    /// Why a directory cannot be removed or renamed: that of another volume lies in it. No
    /// provisioner makes such a pair, but one may have been taken over.
    fn holds_another(&self, name: &str, how: OnDelete) -> Option<String> {
        let record = self.index().record(name)?;
        if how == OnDelete::Retain {
            return None;
        }
        let (other, inside) = self.index().within(name, &record.directory)?;
        Some(format!(
            "the directory {inside} of volume {other} lies in the directory {} of this one, which has to stay until the \
             other volume is gone",
            record.directory
        ))
    }

    fn told(
        &self,
        volume: &PersistentVolume,
        started: Instant,
        result: Result<(), StepError>,
    ) -> Result<Next, StepError> {
        match result {
            Ok(()) => {
                self.parts.metrics.deleted(volume, started.elapsed());
                Ok(Next::OnChange)
            }
            Err(error) => Err(self.failed(volume, error)),
        }
    }

    /// A volume that waits to be reclaimed is told what on the export holds it up. The error goes on to
    /// be tried again.
    fn failed(&self, volume: &PersistentVolume, error: StepError) -> StepError {
        if self.rules().is_reclaimable(volume) && !matches!(error, StepError::Fenced(_)) {
            self.parts.metrics.delete_failed(volume);
            let cause = error.to_string();
            self.tell(volume, &Notice::DeleteFailed { cause });
        }
        error
    }

    /// The record of a volume, after what an administrator has changed on the object is noted in
    /// it: from here on it decides, whatever becomes of the object.
    async fn recalled(
        &self,
        share: &Share,
        volume: &PersistentVolume,
    ) -> Result<Option<Record>, StepError> {
        self.adopt_if_asked(share, volume).await?;
        let name = volume.name_any();
        share.recall(&name).await?;
        let Some(record) = self.index().record(&name) else {
            return Ok(None);
        };
        self.settle_awaited(share, volume, &record).await?;
        let same_claim = claim_uid(volume).as_ref() == Some(&record.claim.uid);
        if same_claim && record.state != State::Kept {
            share
                .note(&name, policy_of(volume), on_delete_of(volume))
                .await?;
        }
        Ok(self.index().record(&name))
    }
}

//! The claim controller: sees claims, provisions those that are ours, and cleans up after those
//! that end before their volume is stored. What provisioning itself does is in `provision.rs`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use tokio::time::Instant;

use crate::backoff::{self, Backoff};
use crate::caches::{Change, Classes};
use crate::clock::Fence;
use crate::cluster::ClusterApi;
use crate::config::Config;
use crate::decide::{self, ClaimDecision};
use crate::error::StepError;
use crate::events::{Notice, Recorder, claim_reference};
use crate::index::Index;
use crate::intents::Share;
use crate::metrics::Metrics;
use crate::quantity;
use crate::queue::WorkQueue;
use crate::records::State;
use crate::rules::Rules;
use crate::volumes::Volumes;

mod ahead;
mod provision;
mod reach;
mod waiting;

use reach::Reach;
use waiting::Waiting;

/// How long a creation whose answer was lost may still happen: the API server ends a request after
/// a minute (`--request-timeout`).
const CREATION_SETTLES: Duration = Duration::from_secs(65);
/// When something ours could not be written although the claim is served: soon.
const SOON: Duration = Duration::from_secs(1);

/// When a key is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// When something changes.
    OnChange,
    /// In this time at the latest.
    In(Duration),
}

/// See the module.
pub struct Claims {
    config: Arc<Config>,
    cluster: Arc<dyn ClusterApi>,
    rules: Arc<dyn Rules>,
    classes: Arc<Classes>,
    volumes: Arc<Volumes>,
    index: Arc<Index>,
    recorder: Recorder,
    fence: Fence,
    metrics: Arc<Metrics>,
    /// Claims waiting for a volume, by UID.
    pending: Mutex<HashMap<String, Arc<Waiting>>>,
    /// Knows those of them that nobody has asked us for yet.
    reach: Reach,
    /// Claims whose volume's creation had no answer, and when it can no longer happen.
    unanswered: Mutex<HashMap<String, Instant>>,
    /// Claims that want to be larger and were seen before the records were known, by UID; `None` since
    /// then.
    grown: Mutex<Option<HashMap<String, ObjectReference>>>,
    backoff: Mutex<Backoff<String>>,
    pub(crate) queue: WorkQueue<String>,
}

/// What the controllers share.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) cluster: Arc<dyn ClusterApi>,
    pub(crate) rules: Arc<dyn Rules>,
    pub(crate) index: Arc<Index>,
    pub(crate) recorder: Recorder,
    pub(crate) fence: Fence,
    pub(crate) metrics: Arc<Metrics>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn uid_of(claim: &PersistentVolumeClaim) -> String {
    claim.metadata.uid.clone().unwrap_or_default()
}

impl Claims {
    pub(crate) fn new(parts: Parts, classes: Arc<Classes>, volumes: Arc<Volumes>) -> Self {
        let Parts {
            config,
            cluster,
            rules,
            index,
            recorder,
            fence,
            metrics,
        } = parts;
        Self {
            config,
            cluster,
            rules,
            classes,
            volumes,
            index,
            recorder,
            fence,
            metrics,
            pending: Mutex::default(),
            reach: Reach::default(),
            unanswered: Mutex::default(),
            grown: Mutex::new(Some(HashMap::new())),
            backoff: Mutex::default(),
            queue: WorkQueue::default(),
        }
    }

    /// Takes a change the watch shows.
    pub(crate) fn observe(&self, change: Change<PersistentVolumeClaim>) {
        match change {
            Change::There(claim) => self.see(&claim),
            Change::Gone(claim) => self.ended(&uid_of(&claim)),
            Change::Listing => {}
            Change::Listed(uids) => {
                let recorded = self.index.own(|record| {
                    let uid = &record.claim.uid;
                    (record.state != State::Kept && !uids.contains(uid)).then(|| uid.clone())
                });
                let gone: HashSet<String> = lock(&self.pending)
                    .keys()
                    .filter(|uid| !uids.contains(*uid))
                    .cloned()
                    .chain(recorded)
                    .collect();
                for uid in gone {
                    self.ended(&uid);
                }
            }
        }
    }

    fn see(&self, claim: &PersistentVolumeClaim) {
        let uid = uid_of(claim);
        if !self.rules.is_our_claim(&self.config.target, claim, None) {
            match self.foreseen(claim) {
                Some(expected) => self.foresee(&expected, uid),
                None => self.let_be(claim, &uid),
            }
            return;
        }
        let waiting = Arc::new(Waiting::new(claim));
        // In view before its class is looked up: a class that comes at this very moment either finds
        // the claim there or is found by it. The class may come, go and be replaced: what asks for us
        // stays in view whatever it says.
        let old = lock(&self.pending).insert(uid.clone(), waiting.clone());
        self.no_longer_unasked(old.as_deref());
        let decision = self.decide(claim, self.class_of(claim).as_deref());
        if let ClaimDecision::Ignore(_) = decision {
            self.let_be(claim, &uid);
            return;
        }
        if old.is_none_or(|old| old != waiting) {
            lock(&self.backoff).reset(&uid);
            if !matches!(decision, ClaimDecision::Wait(_)) {
                self.queue.add(uid);
            }
        }
    }

    fn no_longer_pending(&self, uid: &str) {
        let old = lock(&self.pending).remove(uid);
        self.no_longer_unasked(old.as_deref());
    }

    fn no_longer_unasked(&self, old: Option<&Waiting>) {
        if let Some(number) = old.and_then(|old| old.unasked) {
            self.reach.forget(number);
        }
    }

    /// A claim that does not wait for a volume of ours, or not any more.
    fn let_be(&self, claim: &PersistentVolumeClaim, uid: &str) {
        self.no_longer_pending(uid);
        if self.has_unfinished(uid) {
            self.queue.add(uid.to_owned());
        } else {
            self.note_resize(claim);
        }
    }

    fn ended(&self, uid: &str) {
        self.no_longer_pending(uid);
        lock(&self.backoff).reset(&uid.to_owned());
        for record in self.index.of_claim(uid) {
            match record.state {
                State::Intent | State::Ready => self.queue.add(uid.to_owned()),
                State::Saved | State::Deleting | State::Archiving => {
                    // With a volume object its release shows in the other watch.
                    if !self.volumes.is_present(&record.volume) {
                        self.volumes.queue.add(record.volume);
                    }
                }
                State::Kept => {}
            }
        }
    }

    /// A class is new or has changed: what waits for it is looked at at once.
    pub(crate) fn class_changed(&self, class: &str) {
        let waiting: Vec<String> = lock(&self.pending)
            .iter()
            .filter(|(_, claim)| claim.class.as_deref() == Some(class))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in waiting {
            lock(&self.backoff).reset(&uid);
            self.queue.add(uid);
        }
    }

    /// The records are known now: what an earlier process left between intent and a stored volume
    /// goes on, or goes if its claim is gone.
    pub(crate) fn catch_up(&self) {
        let unfinished = self.index.own(|record| {
            matches!(record.state, State::Intent | State::Ready).then(|| record.claim.uid.clone())
        });
        for uid in unfinished {
            self.queue.add(uid);
        }
        for claim in lock(&self.grown).take().unwrap_or_default().into_values() {
            self.tell_resize(claim);
        }
    }

    /// A volume object is gone: a claim it was made for may still be waiting.
    pub(crate) fn volume_gone(&self, uid: &str) {
        if lock(&self.pending).contains_key(uid) {
            self.queue.add(uid.to_owned());
        }
    }

    fn has_unfinished(&self, uid: &str) -> bool {
        self.index
            .of_claim(uid)
            .iter()
            .any(|record| matches!(record.state, State::Intent | State::Ready))
    }

    fn class_of(&self, claim: &PersistentVolumeClaim) -> Option<Arc<StorageClass>> {
        decide::class_name(claim).and_then(|name| self.classes.get(name))
    }

    fn decide(&self, claim: &PersistentVolumeClaim, class: Option<&StorageClass>) -> ClaimDecision {
        if class.is_some() && !self.rules.is_our_claim(&self.config.target, claim, class) {
            return ClaimDecision::Wait("its class names another provisioner");
        }
        self.rules.claim_decision(claim, class)
    }

    /// More was asked of a bound volume than it has: said once, nothing is faked.
    fn note_resize(&self, claim: &PersistentVolumeClaim) {
        let asked = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
        let has = claim
            .status
            .as_ref()
            .and_then(|status| status.capacity.as_ref()?.get("storage"));
        if !matches!((asked, has), (Some(asked), Some(has)) if quantity::is_more(&asked.0, &has.0))
        {
            return;
        }
        let (uid, claim) = (uid_of(claim), claim_reference(claim));
        match &mut *lock(&self.grown) {
            Some(grown) => drop(grown.insert(uid, claim)),
            None => self.tell_resize(claim),
        }
    }

    /// Tells it of a claim that has a volume of ours.
    fn tell_resize(&self, claim: ObjectReference) {
        if !self
            .index
            .of_claim(claim.uid.as_deref().unwrap_or_default())
            .is_empty()
        {
            self.tell_about(claim, &Notice::ResizeFailed);
        }
    }

    fn tell(&self, claim: &PersistentVolumeClaim, notice: &Notice) {
        self.tell_about(claim_reference(claim), notice);
    }

    fn tell_about(&self, claim: ObjectReference, notice: &Notice) {
        if let Some(words) = self.rules.words(notice, &self.config.target) {
            self.recorder.tell(claim, words);
        }
    }

    /// Works on one claim and says when to look again.
    pub(crate) async fn work(&self, share: &Share, uid: &str) -> Next {
        let limit = self.config.limits.provision;
        let attempt = tokio::time::timeout(limit, Box::pin(self.reconcile(share, uid)));
        let result = attempt.await.unwrap_or_else(|_| {
            let error = StepError::TimedOut(limit);
            if let Some(claim) = self.pending(uid) {
                self.tell_failure(&claim.as_claim(uid), &error);
            }
            Err(error)
        });
        match result {
            Ok(next) => {
                lock(&self.backoff).reset(&uid.to_owned());
                next
            }
            Err(error) => {
                let failures = lock(&self.backoff).failed(uid.to_owned());
                let lasting = matches!(&error, StepError::Refused(refusal) if refusal.is_lasting());
                let delay = if lasting {
                    Some(backoff::LONGEST)
                } else {
                    self.rules.retry(failures)
                };
                self.metrics.retried("claims", error.category());
                let claim = self.pending(uid);
                tracing::info!(
                    claim = claim
                        .as_ref()
                        .map(|claim| format!("{}/{}", claim.namespace, claim.name)),
                    uid,
                    class = claim.as_ref().and_then(|claim| claim.class.as_deref()),
                    step = error.step(),
                    attempt = failures,
                    cause = error.category(),
                    ?delay,
                    "not provisioned: {error}"
                );
                delay.map_or(Next::OnChange, Next::In)
            }
        }
    }

    fn pending(&self, uid: &str) -> Option<Arc<Waiting>> {
        lock(&self.pending).get(uid).cloned()
    }

    async fn reconcile(&self, share: &Share, uid: &str) -> Result<Next, StepError> {
        if let Some(seen) = self.pending(uid) {
            let _turn = share
                .turn(&self.rules.volume_name(&seen.as_claim(uid)))
                .await;
            if let Some(next) = self.serve(share, uid, &seen).await? {
                return Ok(next);
            }
            let mut pending = lock(&self.pending);
            // What the watch has shown since then is looked at once more.
            if pending.get(uid).is_some_and(|now| Arc::ptr_eq(now, &seen)) {
                pending.remove(uid);
                self.no_longer_unasked(Some(&seen));
            }
        }
        self.settle(share, uid).await
    }

    /// Serves a claim that waits for a volume; `None` when it does not, or not any more.
    async fn serve(
        &self,
        share: &Share,
        uid: &str,
        seen: &Waiting,
    ) -> Result<Option<Next>, StepError> {
        if self
            .index
            .of_claim(uid)
            .iter()
            .any(|record| record.state == State::Saved && self.volumes.is_present(&record.volume))
        {
            // Served; the controller manager binds it in its own time.
            return Ok(Some(Next::OnChange));
        }
        let live = self.cluster.get_claim(&seen.namespace, &seen.name).await?;
        if !self.rules.is_same_claim(uid, live.as_ref()) {
            return Ok(None);
        }
        let claim = live.unwrap_or_else(|| seen.as_claim(uid));
        let claim = self.ahead_of(seen, &claim).unwrap_or(claim);
        let class = self.class_of(&claim);
        match self.decide(&claim, class.as_deref()) {
            ClaimDecision::Ignore(reason) => {
                tracing::debug!(uid, "ignored: {reason}");
                Ok(None)
            }
            ClaimDecision::Wait(reason) => {
                tracing::debug!(uid, "waiting: {reason}");
                Ok(Some(Next::OnChange))
            }
            ClaimDecision::Populator(kind) => {
                self.tell(&claim, &Notice::LeftToPopulator { kind });
                Ok(Some(Next::In(backoff::LONGEST)))
            }
            ClaimDecision::Refuse(refusal) => {
                let error = refusal.into();
                self.tell_failure(&claim, &error);
                Err(error)
            }
            ClaimDecision::Provision => {
                // A decision to provision without a class is a defect; there is nothing to do it by.
                let Some(class) = class else {
                    return Ok(Some(Next::OnChange));
                };
                let result = Box::pin(self.provision(share, &claim, &class)).await;
                if let Err(error) = &result {
                    self.tell_failure(&claim, error);
                }
                result.map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests;

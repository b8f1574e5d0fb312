//! Leader election on a Lease: every write carries the `resourceVersion` read before, expiry counts
//! on our own clock from our own first sight of a renewal, and whoever cannot renew in time stops.
//!
//! Times are client-go's: 15 s, 10 s, 2 s. The `renewTime` in the object is for people; clocks of
//! different machines are never compared.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Fence};
use crate::cluster::{ApiCause, ApiError};
use crate::config::LeaseTimes;
use crate::constants::OWNER;
use crate::error::Error;

pub mod endpoints;
pub mod objects;

use objects::LockObjects;

/// The lock of one deployment.
pub struct Lock {
    /// What the lock is kept on.
    pub cluster: Arc<dyn LockObjects>,
    /// Where the lease lives.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are.
    pub identity: String,
    /// Its times.
    pub times: LeaseTimes,
    /// The clock expiry is judged by.
    pub clock: Arc<dyn Clock>,
    /// What a renewal extends.
    pub fence: Fence,
}

/// A lease somebody holds, and since when we have seen it unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sight {
    version: Option<String>,
    since: Duration,
}

/// When a lease seen unchanged since `since` may be taken.
fn expiry(lease: &Lease, since: Duration, own: Duration) -> Duration {
    let seconds = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(own, Duration::from_secs);
    since.saturating_add(duration)
}

/// Rounded up: others must never wait for less than the duration.
fn whole_seconds(duration: Duration) -> Option<i32> {
    let started = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(started)).ok()
}

/// Who holds the lock, if anybody does.
pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

/// How often the lock has changed hands.
pub fn transitions(lease: &Lease) -> i32 {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_transitions)
        .unwrap_or(0)
}

/// The deployment's id, kept on the lock.
pub fn owner(lease: &Lease) -> Option<String> {
    lease
        .annotations()
        .get(OWNER)
        .filter(|owner| !owner.is_empty())
        .cloned()
}

impl Lock {
    /// Waits until the lock is ours; `None` when asked to stop first.
    ///
    /// # Access control
    /// `leases` get, create and update in the lock's namespace.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Lease> {
        let mut sight: Option<Sight> = None;
        let mut told: Option<String> = None;
        loop {
            let now = self.clock.now();
            let mut wait = self.times.retry;
            match self.attempt(now, &mut sight).await {
                Ok(Attempt::Held(lease)) => return Some(*lease),
                Ok(Attempt::Foreign { holder, expires }) => {
                    if told.as_deref() != Some(holder.as_str()) {
                        tracing::info!(holder, lease = self.lease_name(), "waiting for the lock");
                        told = Some(holder);
                    }
                    let left = expires.saturating_sub(self.clock.now());
                    wait = wait.min(left.max(Duration::from_millis(10)));
                }
                Ok(Attempt::Raced) => {}
                Err(error) => tracing::warn!(cause = error.cause.category(), "failed to {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn attempt(&self, now: Duration, sight: &mut Option<Sight>) -> Result<Attempt, ApiError> {
        let Some(lease) = self.cluster.get_lease(&self.namespace, &self.name).await? else {
            return self.settle(now, self.cluster.create_lease(&self.fresh()).await);
        };
        let version = lease.metadata.resource_version.clone();
        let since = match sight {
            Some(seen) if seen.version == version => seen.since,
            _ => now,
        };
        *sight = Some(Sight { version, since });
        if let Some(holder) = holder(&lease)
            && holder != self.identity
        {
            let expires = expiry(&lease, since, self.times.duration);
            if now < expires {
                return Ok(Attempt::Foreign {
                    holder: holder.to_owned(),
                    expires,
                });
            }
            tracing::info!(
                holder,
                lease = self.lease_name(),
                "the lock was not renewed in time: taking it"
            );
        }
        let taken = self.taken(&lease);
        self.settle(now, self.cluster.update_lease(&taken).await)
    }

    fn settle(&self, now: Duration, written: Result<Lease, ApiError>) -> Result<Attempt, ApiError> {
        match written {
            Ok(lease) => {
                self.fence
                    .extend(now.saturating_add(self.times.renew_deadline));
                Ok(Attempt::Held(Box::new(lease)))
            }
            Err(error) if matches!(error.cause, ApiCause::Conflict | ApiCause::AlreadyExists) => {
                Ok(Attempt::Raced)
            }
            Err(error) => Err(error),
        }
    }

    /// Renews the lock until `stop`.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when it could not be renewed before the deadline or is somebody else's.
    /// The fence is closed then.
    pub async fn keep(&self, mut lease: Lease, stop: &CancellationToken) -> Result<Lease, Error> {
        let mut renewed = self.clock.now();
        loop {
            let deadline = renewed.saturating_add(self.times.renew_deadline);
            let left = deadline.saturating_sub(self.clock.now());
            tokio::select! {
                () = stop.cancelled() => return Ok(lease),
                () = tokio::time::sleep(self.times.retry.min(left)) => {}
            }
            let now = self.clock.now();
            let left = deadline.saturating_sub(now);
            if left.is_zero() {
                return Err(self.lost("it was not renewed before its deadline"));
            }
            // One call that hangs leaves time for another before the deadline.
            let limit = left.min(self.times.renew_deadline / 2);
            match tokio::time::timeout(limit, self.renew(&lease)).await {
                Ok(Ok(Some(updated))) => {
                    renewed = now;
                    self.fence
                        .extend(now.saturating_add(self.times.renew_deadline));
                    lease = updated;
                }
                Ok(Ok(None)) => return Err(self.lost("somebody else holds it")),
                Ok(Err(error)) => {
                    tracing::warn!(cause = error.cause.category(), "failed to {error}");
                }
                Err(_) => {
                    tracing::warn!(?limit, "the renewal of the lock was not answered in time");
                }
            }
        }
    }

    /// One renewal; `None` when the lock is somebody else's.
    async fn renew(&self, lease: &Lease) -> Result<Option<Lease>, ApiError> {
        let mut next = lease.clone();
        let spec = next.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        match self.cluster.update_lease(&next).await {
            Ok(updated) => Ok(Some(updated)),
            Err(error) if error.cause == ApiCause::Conflict => {
                // An annotation may have been edited, or an answer of ours was lost.
                let Some(found) = self.cluster.get_lease(&self.namespace, &self.name).await? else {
                    return Ok(None);
                };
                if holder(&found) != Some(self.identity.as_str()) {
                    return Ok(None);
                }
                let mut next = found;
                next.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
                self.cluster.update_lease(&next).await.map(Some)
            }
            Err(error) if error.cause == ApiCause::NotFound => {
                // Deleted under us. Whoever makes it first has it.
                let mut again = self.fresh();
                again
                    .metadata
                    .annotations
                    .clone_from(&lease.metadata.annotations);
                match self.cluster.create_lease(&again).await {
                    Ok(created) => Ok(Some(created)),
                    Err(error) if error.cause == ApiCause::AlreadyExists => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the lock back, so that a successor need not wait. Acting is over before.
    pub async fn release(&self, lease: Lease) {
        self.fence.close();
        let mut next = lease;
        let spec = next.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        match self.cluster.update_lease(&next).await {
            Ok(_) => tracing::info!(lease = self.lease_name(), "released the lock"),
            Err(error) => tracing::warn!(
                cause = error.cause.category(),
                "failed to {error}; it expires by itself"
            ),
        }
    }

    /// Writes the deployment's id on the lock, once.
    ///
    /// # Errors
    /// [`ApiError`] when the lock cannot be updated.
    pub async fn set_owner(&self, lease: Lease, id: &str) -> Result<Lease, ApiError> {
        if owner(&lease).as_deref() == Some(id) {
            return Ok(lease);
        }
        let mut next = lease;
        next.annotations_mut()
            .insert(OWNER.to_owned(), id.to_owned());
        self.cluster.update_lease(&next).await
    }

    /// A lease nobody holds, to keep the deployment's id on when no lock is taken.
    ///
    /// # Errors
    /// [`ApiError`] when there is none and none can be made.
    pub async fn without_holder(&self) -> Result<Lease, ApiError> {
        if let Some(lease) = self.cluster.get_lease(&self.namespace, &self.name).await? {
            return Ok(lease);
        }
        let mut lease = self.fresh();
        lease.spec = None;
        match self.cluster.create_lease(&lease).await {
            Err(error) if error.cause == ApiCause::AlreadyExists => self
                .cluster
                .get_lease(&self.namespace, &self.name)
                .await?
                .ok_or(error),
            other => other,
        }
    }

    /// The reference of the object that is the lock, for its event.
    pub fn reference(&self, lease: &Lease) -> ObjectReference {
        let (api_version, kind) = self.cluster.kind();
        ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: lease.namespace(),
            name: lease.metadata.name.clone(),
            uid: lease.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }

    /// `namespace/name`.
    pub fn lease_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn lost(&self, cause: &str) -> Error {
        self.fence.close();
        Error::LeaseLost {
            lease: self.lease_name(),
            cause: cause.to_owned(),
        }
    }

    fn fresh(&self) -> Lease {
        let now = Some(MicroTime(Timestamp::now()));
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: whole_seconds(self.times.duration),
                acquire_time: now.clone(),
                renew_time: now,
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        }
    }

    fn taken(&self, found: &Lease) -> Lease {
        let mut lease = found.clone();
        let changes_hands = holder(found) != Some(self.identity.as_str());
        let fresh = self.fresh().spec.unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = fresh.holder_identity;
        spec.lease_duration_seconds = fresh.lease_duration_seconds;
        spec.renew_time = fresh.renew_time;
        if changes_hands {
            spec.acquire_time = fresh.acquire_time;
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        lease
    }
}

enum Attempt {
    Held(Box<Lease>),
    Foreign { holder: String, expires: Duration },
    Raced,
}

#[cfg(test)]
mod tests;

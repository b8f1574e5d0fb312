//! The old lock: an annotation on Endpoints, which nfs-subdir takes (client-go's `endpoints` lock,
//! removed in 1.24).
//!
//! [`OnEndpoints`] keeps our own lock there, where Leases are not granted. [`BesideEndpoints`]
//! keeps it on a Lease and looks at the old lock too: a live record of somebody else there counts
//! as the lock being held, so that an older provisioner and this one never act together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::objects::{LockObjects, OnLeases};
use crate::clock::Clock;
use crate::cluster::{ApiCause, ApiError, ApiResult, ClusterApi};
use crate::constants::{OLD_LOCK, OWNER};

/// What the annotation holds (client-go's `LeaderElectionRecord`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaderRecord {
    holder_identity: String,
    lease_duration_seconds: i32,
    acquire_time: Option<Timestamp>,
    renew_time: Option<Timestamp>,
    leader_transitions: i32,
}

/// Whole seconds, as the record has always had.
fn seconds(time: Option<&MicroTime>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::from_second(time.0.as_second()).ok())
}

impl From<&LeaseSpec> for LeaderRecord {
    fn from(spec: &LeaseSpec) -> Self {
        Self {
            holder_identity: spec.holder_identity.clone().unwrap_or_default(),
            lease_duration_seconds: spec.lease_duration_seconds.unwrap_or_default(),
            acquire_time: seconds(spec.acquire_time.as_ref()),
            renew_time: seconds(spec.renew_time.as_ref()),
            leader_transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }
}

impl From<LeaderRecord> for LeaseSpec {
    fn from(record: LeaderRecord) -> Self {
        Self {
            holder_identity: Some(record.holder_identity),
            lease_duration_seconds: Some(record.lease_duration_seconds),
            acquire_time: record.acquire_time.map(MicroTime),
            renew_time: record.renew_time.map(MicroTime),
            lease_transitions: Some(record.leader_transitions),
            ..Self::default()
        }
    }
}

fn error(verb: &'static str, endpoints: &ObjectMeta, cause: ApiCause, message: String) -> ApiError {
    ApiError {
        verb,
        object: format!(
            "endpoints {}/{}",
            endpoints.namespace.as_deref().unwrap_or_default(),
            endpoints.name.as_deref().unwrap_or_default()
        ),
        cause,
        message,
    }
}

/// The lock on Endpoints as a Lease.
///
/// # Errors
/// [`ApiCause::Unexpected`] when the record does not parse: nobody can say then who holds it.
fn lease_of(endpoints: &Endpoints) -> ApiResult<Lease> {
    let mut metadata = endpoints.metadata.clone();
    let text = metadata
        .annotations
        .as_mut()
        .and_then(|annotations| annotations.remove(OLD_LOCK))
        .filter(|text| !text.is_empty());
    let record: Option<LeaderRecord> = text
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|cause| {
            error(
                "read",
                &endpoints.metadata,
                ApiCause::Unexpected,
                format!("its annotation {OLD_LOCK} does not parse ({cause}); remove the annotation if no provisioner runs"),
            )
        })?;
    Ok(Lease {
        metadata,
        spec: record.map(Into::into),
    })
}

/// Writes a Lease's record and owner on Endpoints; all else on them stays.
fn put(lease: &Lease, endpoints: &mut Endpoints) {
    if let Some(spec) = &lease.spec {
        // Strings, numbers and times: serialising cannot fail.
        let text = serde_json::to_string(&LeaderRecord::from(spec)).unwrap_or_default();
        endpoints
            .annotations_mut()
            .insert(OLD_LOCK.to_owned(), text);
    }
    if let Some(owner) = lease.annotations().get(OWNER) {
        endpoints
            .annotations_mut()
            .insert(OWNER.to_owned(), owner.clone());
    }
}

/// The lock on Endpoints, for roles without Leases. It is the very lock nfs-subdir takes.
pub struct OnEndpoints(pub Arc<dyn ClusterApi>);

#[async_trait]
impl LockObjects for OnEndpoints {
    fn kind(&self) -> (&'static str, &'static str) {
        ("v1", "Endpoints")
    }

    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>> {
        let found = self.0.get_endpoints(namespace, name).await?;
        found.as_ref().map(lease_of).transpose()
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let mut endpoints = Endpoints {
            metadata: ObjectMeta {
                name: lease.metadata.name.clone(),
                namespace: lease.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            subsets: None,
        };
        put(lease, &mut endpoints);
        lease_of(&self.0.create_endpoints(&endpoints).await?)
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let namespace = lease.namespace().unwrap_or_default();
        let found = self
            .0
            .get_endpoints(&namespace, &lease.name_any())
            .await?
            .ok_or_else(|| {
                error(
                    "update",
                    &lease.metadata,
                    ApiCause::NotFound,
                    "they are gone".to_owned(),
                )
            })?;
        if found.metadata.resource_version != lease.metadata.resource_version {
            return Err(error(
                "update",
                &lease.metadata,
                ApiCause::Conflict,
                "they have changed since they were read".to_owned(),
            ));
        }
        let mut endpoints = found;
        put(lease, &mut endpoints);
        lease_of(&self.0.update_endpoints(&endpoints).await?)
    }
}

/// The old lock's record and since when we have seen it unchanged.
struct Sight {
    record: LeaseSpec,
    since: Duration,
}

/// The lock on a Lease, held back by a live record in the old lock.
pub struct BesideEndpoints {
    leases: OnLeases,
    old: OnEndpoints,
    clock: Arc<dyn Clock>,
    /// For how long a record without a duration of its own counts.
    usual: Duration,
    sight: Mutex<Option<Sight>>,
}

impl BesideEndpoints {
    /// `usual` is how long a record of the old lock counts that says nothing about it.
    pub fn new(cluster: Arc<dyn ClusterApi>, clock: Arc<dyn Clock>, usual: Duration) -> Self {
        Self {
            leases: OnLeases(cluster.clone()),
            old: OnEndpoints(cluster),
            clock,
            usual,
            sight: Mutex::default(),
        }
    }

    /// The old lock, with whether its record was renewed within its duration. As with a Lease, only
    /// what our own clock has seen counts; the times in the record are never compared with it.
    async fn look(&self, namespace: &str, name: &str) -> ApiResult<Option<(Lease, bool)>> {
        let found = match self.old.get_lease(namespace, name).await {
            // Granted at start and taken away since: then nothing more can be seen.
            Err(error) if error.cause == ApiCause::Forbidden => None,
            other => other?,
        };
        let now = self.clock.now();
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lease) = found else {
            *sight = None;
            return Ok(None);
        };
        let Some(record) = lease
            .spec
            .clone()
            .filter(|_| super::holder(&lease).is_some())
        else {
            *sight = None;
            return Ok(Some((lease, false)));
        };
        let since = match &*sight {
            Some(seen) if seen.record == record => seen.since,
            _ => now,
        };
        *sight = Some(Sight { record, since });
        let live = now < super::expiry(&lease, since, self.usual);
        Ok(Some((lease, live)))
    }

    /// The owner's id that was kept on the old lock while Leases were not granted.
    fn carry_owner(old: Option<&Lease>, lease: &mut Lease) {
        let kept = old.and_then(super::owner);
        if let (None, Some(owner)) = (super::owner(lease), kept) {
            lease.annotations_mut().insert(OWNER.to_owned(), owner);
        }
    }
}

fn held(verb: &'static str, old: &Lease) -> ApiError {
    let holder = super::holder(old).unwrap_or_default();
    error(
        verb,
        &old.metadata,
        ApiCause::Conflict,
        format!("an older provisioner, {holder}, holds the lock there"),
    )
}

#[async_trait]
impl LockObjects for BesideEndpoints {
    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>> {
        match self.look(namespace, name).await? {
            // Whoever reads the lock sees it held by somebody else.
            Some((old, true)) => Ok(Some(old)),
            old => {
                let mut lease = self.leases.get_lease(namespace, name).await?;
                if let Some(lease) = &mut lease {
                    Self::carry_owner(old.as_ref().map(|(old, _)| old), lease);
                }
                Ok(lease)
            }
        }
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let namespace = lease.namespace().unwrap_or_default();
        let mut lease = lease.clone();
        match self.look(&namespace, &lease.name_any()).await? {
            Some((old, true)) => return Err(held("create", &old)),
            old => Self::carry_owner(old.as_ref().map(|(old, _)| old), &mut lease),
        }
        self.leases.create_lease(&lease).await
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        // Giving the lock back is always possible.
        if super::holder(lease).is_some() {
            let namespace = lease.namespace().unwrap_or_default();
            if let Some((old, true)) = self.look(&namespace, &lease.name_any()).await? {
                return Err(held("update", &old));
            }
        }
        self.leases.update_lease(lease).await
    }
}

#[cfg(test)]
mod tests;

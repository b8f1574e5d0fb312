//! What the lock is kept on: a Lease, or what stands in for one. See [`super::endpoints`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::coordination::v1::Lease;

use super::endpoints::{BesideEndpoints, OnEndpoints};
use crate::access::LockKind;
use crate::clock::Clock;
use crate::cluster::{ApiResult, ClusterApi};

/// What the lock is kept on with the rights there are. `usual` is how long a record of the old lock
/// counts that says nothing about it.
pub fn keep_on(
    kind: LockKind,
    cluster: Arc<dyn ClusterApi>,
    clock: Arc<dyn Clock>,
    usual: Duration,
) -> Arc<dyn LockObjects> {
    match kind {
        LockKind::Lease => Arc::new(OnLeases(cluster)),
        LockKind::LeaseBesideEndpoints => Arc::new(BesideEndpoints::new(cluster, clock, usual)),
        LockKind::Endpoints => Arc::new(OnEndpoints(cluster)),
    }
}

/// Reads and writes the lock as a Lease, wherever it is kept.
#[async_trait]
pub trait LockObjects: Send + Sync + 'static {
    /// API version and kind of the object that is the lock.
    fn kind(&self) -> (&'static str, &'static str) {
        ("coordination.k8s.io/v1", "Lease")
    }

    /// The lock, if there is one.
    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>>;

    /// Makes the lock; [`crate::cluster::ApiCause::AlreadyExists`] when somebody was faster.
    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease>;

    /// Replaces the lock at the `resourceVersion` it carries; [`crate::cluster::ApiCause::Conflict`]
    /// when it has changed since.
    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease>;
}

/// The lock as a Lease of the cluster.
pub struct OnLeases(pub Arc<dyn ClusterApi>);

#[async_trait]
impl LockObjects for OnLeases {
    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>> {
        self.0.get_lease(namespace, name).await
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.0.create_lease(lease).await
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.0.update_lease(lease).await
    }
}

//! What the provisioner asks of the cluster: one small method per call, so that a test or a
//! mutant can stand in front of exactly one of them.

use std::fmt;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher;

mod kubernetes;

pub use kubernetes::Kubernetes;

/// Why an API call failed: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiCause {
    /// 403
    Forbidden,
    /// 401
    Unauthorized,
    /// 409 of an update or deletion: the object has changed or is another one.
    Conflict,
    /// 409 of a creation.
    AlreadyExists,
    /// 404
    NotFound,
    /// 400, 422
    Invalid,
    /// 429, 5xx: the server could not, this time.
    Unavailable,
    /// No answer in time. It may have been done.
    TimedOut,
    /// The connection failed. It may have been done.
    Connection,
    /// An answer nobody understands.
    Unexpected,
}

impl ApiCause {
    /// A stable word for logs and metrics.
    pub const fn category(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Conflict => "conflict",
            Self::AlreadyExists => "already-exists",
            Self::NotFound => "not-found",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
            Self::Connection => "connection",
            Self::Unexpected => "unexpected",
        }
    }

    /// Whether the call may have had its effect all the same.
    pub const fn is_uncertain(self) -> bool {
        match self {
            Self::Unavailable | Self::TimedOut | Self::Connection | Self::Unexpected => true,
            Self::Forbidden
            | Self::Unauthorized
            | Self::Conflict
            | Self::AlreadyExists
            | Self::NotFound
            | Self::Invalid => false,
        }
    }
}

/// An API call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{verb} {object}: {message}")]
pub struct ApiError {
    /// `get`, `create`, `update`, `patch`, `delete`, `review`.
    pub verb: &'static str,
    /// `claim ns/name`, `volume pvc-…`.
    pub object: String,
    /// Why.
    pub cause: ApiCause,
    /// The server's words, or what happened to the connection.
    pub message: String,
}

/// How an API call ended.
pub type ApiResult<T> = Result<T, ApiError>;

/// How a deletion ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// It is there as long as it has finalizers.
    Going(Box<PersistentVolume>),
    /// It is gone.
    Gone,
    /// An object of that name has another UID: it was not touched.
    Other,
}

/// One right the provisioner wants, as a `SelfSubjectAccessReview` asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for core.
    pub group: &'static str,
    /// Resource, plural.
    pub resource: &'static str,
    /// Verb.
    pub verb: &'static str,
    /// Whether it is wanted in the lock's namespace only.
    pub in_lock_namespace: bool,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = if self.group.is_empty() {
            "core"
        } else {
            self.group
        };
        let scope = if self.in_lock_namespace {
            "in the namespace of the lock"
        } else {
            "in the whole cluster"
        };
        write!(
            formatter,
            "{} {} ({group}) {scope}",
            self.verb, self.resource
        )
    }
}

/// A stream of changes: restarts, lists again and backs off by itself; never ends.
pub type Changes<K> = BoxStream<'static, Result<watcher::Event<K>, watcher::Error>>;

/// The objects that `keep` wants of one complete list.
///
/// # Errors
/// [`ApiError`] when the list fails; nothing is tried again.
pub async fn listed<K>(
    what: &'static str,
    mut changes: Changes<K>,
    keep: impl Fn(&K) -> bool,
) -> ApiResult<Vec<K>> {
    let mut found = Vec::new();
    while let Some(event) = changes.next().await {
        match event {
            Ok(watcher::Event::Init) => found.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                if keep(&object) {
                    found.push(object);
                }
            }
            Ok(watcher::Event::InitDone) => return Ok(found),
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_)) => {}
            Err(watcher::Error::InitialListFailed(error)) => {
                return Err(kubernetes::translate("list", what.to_owned(), &error));
            }
            Err(error) => return Err(unexpected(what, error.to_string())),
        }
    }
    Err(unexpected(what, "the list ended early".to_owned()))
}

fn unexpected(what: &str, message: String) -> ApiError {
    ApiError {
        verb: "list",
        object: what.to_owned(),
        cause: ApiCause::Unexpected,
        message,
    }
}

/// See the module. Every call ends within the limit the implementation was made with.
#[async_trait]
pub trait ClusterApi: Send + Sync + 'static {
    /// The claim as it stands now.
    async fn get_claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> ApiResult<Option<PersistentVolumeClaim>>;

    /// The volume as it stands now.
    async fn get_volume(&self, name: &str) -> ApiResult<Option<PersistentVolume>>;

    /// Stores a volume; [`ApiCause::AlreadyExists`] when one of that name is there.
    async fn create_volume(&self, volume: &PersistentVolume) -> ApiResult<PersistentVolume>;

    /// Deletes a volume if it still has this UID.
    async fn delete_volume(&self, name: &str, uid: &str) -> ApiResult<Deletion>;

    /// Replaces the finalizers of a volume, if it still is at `resource_version`; gone is no error.
    async fn set_finalizers(
        &self,
        name: &str,
        resource_version: &str,
        finalizers: &[String],
    ) -> ApiResult<()>;

    /// Stores an event.
    async fn create_event(&self, event: &Event) -> ApiResult<()>;

    /// Raises the count of an event; [`ApiCause::NotFound`] when it has expired.
    async fn raise_event(&self, event: &Event) -> ApiResult<()>;

    /// The lease, if there is one.
    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>>;

    /// Makes the lease; [`ApiCause::AlreadyExists`] when somebody was faster.
    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease>;

    /// Replaces the lease at the `resourceVersion` it carries; [`ApiCause::Conflict`] when it has
    /// changed since.
    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease>;

    /// The object of the old lock, if there is one.
    async fn get_endpoints(&self, namespace: &str, name: &str) -> ApiResult<Option<Endpoints>>;

    /// Makes the object of the old lock; [`ApiCause::AlreadyExists`] when somebody was faster.
    async fn create_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints>;

    /// Replaces the object of the old lock at the `resourceVersion` it carries;
    /// [`ApiCause::Conflict`] when it has changed since.
    async fn update_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints>;

    /// Adds annotations to a volume or replaces their values.
    async fn annotate_volume(&self, name: &str, annotations: &[(&str, &str)]) -> ApiResult<()>;

    /// Whether a right is granted.
    async fn is_granted(&self, right: &Right, lock_namespace: &str) -> ApiResult<bool>;

    /// Changes of all claims.
    fn watch_claims(&self) -> Changes<PersistentVolumeClaim>;

    /// Changes of all volumes.
    fn watch_volumes(&self) -> Changes<PersistentVolume>;

    /// Changes of all classes.
    fn watch_classes(&self) -> Changes<StorageClass>;
}

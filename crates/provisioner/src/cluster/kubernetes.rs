//! [`ClusterApi`] over kube.
//!
//! kube has no read time-out by default, so every call gets one here. Lists and watches page and
//! use `ListWatch`: streaming lists do not fall back (kube#1844).

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{ApiCause, ApiError, ApiResult, Changes, ClusterApi, Deletion, Right};

/// How many objects one page of a list holds: few enough that a start with thousands of them needs
/// little memory beside what is kept of each.
const PAGE: u32 = 100;

/// A client with a time limit for each call.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    limit: Duration,
}

impl Kubernetes {
    /// Wraps a client; `limit` bounds each call, watches excepted.
    pub const fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit }
    }

    async fn call<T>(
        &self,
        verb: &'static str,
        object: impl FnOnce() -> String,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> ApiResult<T> {
        match tokio::time::timeout(self.limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(translate(verb, object(), &error)),
            Err(_) => Err(ApiError {
                verb,
                object: object(),
                cause: ApiCause::TimedOut,
                message: format!("the API server did not answer within {:?}", self.limit),
            }),
        }
    }

    fn watch<K>(&self) -> Changes<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let config = watcher::Config::default().page_size(PAGE);
        watcher::watcher(Api::<K>::all(self.client.clone()), config)
            .default_backoff()
            .map_ok(|event| {
                event.modify(|object| {
                    // Nobody reads them, and they are the largest part of most objects.
                    object.managed_fields_mut().clear();
                })
            })
            .boxed()
    }
}

pub(super) fn translate(verb: &'static str, object: String, error: &kube::Error) -> ApiError {
    let (cause, message) = match error {
        kube::Error::Api(status) => {
            let cause = match (status.code, status.reason.as_str()) {
                (401, _) => ApiCause::Unauthorized,
                (403, _) => ApiCause::Forbidden,
                (404, _) => ApiCause::NotFound,
                (409, "AlreadyExists") => ApiCause::AlreadyExists,
                (409, _) => ApiCause::Conflict,
                (400 | 422, _) => ApiCause::Invalid,
                (429 | 500..=599, _) => ApiCause::Unavailable,
                _ => ApiCause::Unexpected,
            };
            (cause, status.message.clone())
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
            (ApiCause::Connection, chain(error))
        }
        other => (ApiCause::Unexpected, chain(other)),
    };
    ApiError {
        verb,
        object,
        cause,
        message,
    }
}

/// An error with its sources: kube's outer texts seldom say what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

fn of_claim(namespace: &str, name: &str) -> String {
    format!("claim {namespace}/{name}")
}

fn of_volume(name: &str) -> String {
    format!("volume {name}")
}

fn of_lease(lease: &Lease) -> String {
    format!(
        "lease {}/{}",
        lease.namespace().unwrap_or_default(),
        lease.name_any()
    )
}

fn of_endpoints(endpoints: &Endpoints) -> String {
    format!(
        "endpoints {}/{}",
        endpoints.namespace().unwrap_or_default(),
        endpoints.name_any()
    )
}

#[async_trait]
impl ClusterApi for Kubernetes {
    async fn get_claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> ApiResult<Option<PersistentVolumeClaim>> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        self.call("get", || of_claim(namespace, name), api.get_opt(name))
            .await
    }

    async fn get_volume(&self, name: &str) -> ApiResult<Option<PersistentVolume>> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        self.call("get", || of_volume(name), api.get_opt(name))
            .await
    }

    async fn create_volume(&self, volume: &PersistentVolume) -> ApiResult<PersistentVolume> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        self.call(
            "create",
            || of_volume(&volume.name_any()),
            api.create(&parameters, volume),
        )
        .await
    }

    async fn delete_volume(&self, name: &str, uid: &str) -> ApiResult<Deletion> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self
            .call("delete", || of_volume(name), api.delete(name, &parameters))
            .await
        {
            Ok(answer) => Ok(answer
                .left()
                .map_or(Deletion::Gone, |volume| Deletion::Going(Box::new(volume)))),
            Err(error) if error.cause == ApiCause::NotFound => Ok(Deletion::Gone),
            // The UID is another one, or the server could not this time: looking tells.
            Err(error) if error.cause == ApiCause::Conflict => match self.get_volume(name).await? {
                Some(found) if found.metadata.uid.as_deref() == Some(uid) => Err(error),
                Some(_) => Ok(Deletion::Other),
                None => Ok(Deletion::Gone),
            },
            Err(error) => Err(error),
        }
    }

    async fn set_finalizers(
        &self,
        name: &str,
        resource_version: &str,
        finalizers: &[String],
    ) -> ApiResult<()> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": resource_version, "finalizers": finalizers }
        }));
        let parameters = PatchParams::default();
        match self
            .call(
                "patch",
                || of_volume(name),
                api.patch(name, &parameters, &patch),
            )
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.cause == ApiCause::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn create_event(&self, event: &Event) -> ApiResult<()> {
        let namespace = event.namespace().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let object = || format!("event {namespace}/{}", event.name_any());
        let parameters = PostParams::default();
        match self
            .call("create", object, api.create(&parameters, event))
            .await
        {
            Ok(_) => Ok(()),
            // Names are random: one that exists is this very event, stored by a retried request.
            Err(error) if error.cause == ApiCause::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn raise_event(&self, event: &Event) -> ApiResult<()> {
        let namespace = event.namespace().unwrap_or_default();
        let name = event.name_any();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let patch =
            Patch::Merge(json!({ "count": event.count, "lastTimestamp": event.last_timestamp }));
        let object = || format!("event {namespace}/{name}");
        let parameters = PatchParams::default();
        self.call("patch", object, api.patch(&name, &parameters, &patch))
            .await
            .map(drop)
    }

    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        self.call(
            "get",
            || format!("lease {namespace}/{name}"),
            api.get_opt(name),
        )
        .await
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let api: Api<Lease> =
            Api::namespaced(self.client.clone(), &lease.namespace().unwrap_or_default());
        let parameters = PostParams::default();
        self.call("create", || of_lease(lease), api.create(&parameters, lease))
            .await
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let api: Api<Lease> =
            Api::namespaced(self.client.clone(), &lease.namespace().unwrap_or_default());
        let parameters = PostParams::default();
        self.call(
            "update",
            || of_lease(lease),
            api.replace(&lease.name_any(), &parameters, lease),
        )
        .await
    }

    async fn get_endpoints(&self, namespace: &str, name: &str) -> ApiResult<Option<Endpoints>> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), namespace);
        self.call(
            "get",
            || format!("endpoints {namespace}/{name}"),
            api.get_opt(name),
        )
        .await
    }

    async fn create_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        let namespace = endpoints.namespace().unwrap_or_default();
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PostParams::default();
        self.call(
            "create",
            || of_endpoints(endpoints),
            api.create(&parameters, endpoints),
        )
        .await
    }

    async fn update_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        let namespace = endpoints.namespace().unwrap_or_default();
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &namespace);
        let parameters = PostParams::default();
        self.call(
            "update",
            || of_endpoints(endpoints),
            api.replace(&endpoints.name_any(), &parameters, endpoints),
        )
        .await
    }

    async fn annotate_volume(&self, name: &str, annotations: &[(&str, &str)]) -> ApiResult<()> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let annotations: serde_json::Map<String, serde_json::Value> = annotations
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        let parameters = PatchParams::default();
        self.call(
            "patch",
            || of_volume(name),
            api.patch(name, &parameters, &patch),
        )
        .await
        .map(drop)
    }

    async fn is_granted(&self, right: &Right, lock_namespace: &str) -> ApiResult<bool> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(right.group.to_owned()),
                    resource: Some(right.resource.to_owned()),
                    verb: Some(right.verb.to_owned()),
                    namespace: right.in_lock_namespace.then(|| lock_namespace.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let parameters = PostParams::default();
        let answer = self
            .call(
                "review",
                || right.to_string(),
                api.create(&parameters, &review),
            )
            .await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    fn watch_claims(&self) -> Changes<PersistentVolumeClaim> {
        self.watch()
    }

    fn watch_volumes(&self) -> Changes<PersistentVolume> {
        self.watch()
    }

    fn watch_classes(&self) -> Changes<StorageClass> {
        self.watch()
    }
}

#[cfg(test)]
mod tests;

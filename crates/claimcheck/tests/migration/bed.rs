//! A control plane for one test, and accounts with chosen rights on it.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::Kubeconfig;
use serde_json::json;

#[path = "../shared/plane.rs"]
mod plane;

pub(crate) use plane::CLAIMCHECK;
use plane::Plane;

/// How long anything that a test waits for may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How often a condition without a notification is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// A control plane. Dropping it ends its processes.
pub(crate) struct Bed {
    pub(crate) client: Client,
    plane: Plane,
}

impl Bed {
    pub(crate) async fn up(name: &str) -> Self {
        let plane = Plane::up(name).await;
        Self {
            client: plane.client.clone(),
            plane,
        }
    }

    /// A path of this test.
    pub(crate) fn path(&self, below: &str) -> Utf8PathBuf {
        self.plane.path(below)
    }

    /// The kubeconfig of somebody who may do everything.
    pub(crate) fn admin(&self) -> &Utf8Path {
        &self.plane.kubeconfig
    }

    pub(crate) async fn apply(&self, text: &str, namespace: &str) {
        self.plane.apply(text, namespace).await;
    }

    /// A kubeconfig with a token of an account, as a pod of it would have.
    pub(crate) async fn account(&self, namespace: &str, name: &str) -> Utf8PathBuf {
        let token = self.plane.token(namespace, name).await;
        let admin = Kubeconfig::read_from(self.admin()).unwrap();
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": admin.clusters[0].cluster }],
            "users": [{ "name": "u", "user": { "token": token } }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        let path = self.path(&format!("{namespace}-{name}.kubeconfig"));
        fs_err::write(&path, text.to_string()).unwrap();
        path
    }

    /// Waits until the API server knows of a right: bindings reach its authorizer a moment later.
    pub(crate) async fn granted(
        &self,
        (namespace, name): (&str, &str),
        (verb, group, resource): (&str, &str, &str),
        scope: Option<&str>,
    ) {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{name}")),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    namespace: scope.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        until(
            &format!("{verb} {resource} granted to {name}"),
            async || {
                let answer = api.create(&PostParams::default(), &review).await.unwrap();
                answer.status.is_some_and(|status| status.allowed)
            },
        )
        .await;
    }

    pub(crate) async fn down(self) {
        self.plane.down().await;
    }
}

/// Waits until `look` is true.
pub(crate) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

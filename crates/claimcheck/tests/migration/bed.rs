//! A control plane for one test, and accounts with chosen rights on it.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::Kubeconfig;
use serde_json::json;
use testbed::artifacts::Home;
use testbed::cluster::Cluster as _;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::manifests;
use testbed::tools::{NoProgress, ToolOptions, Tools};

/// The program under test, which is also the guard of the children.
pub(crate) const CLAIMCHECK: &str = env!("CARGO_BIN_EXE_claimcheck");
/// How long a token holds, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 3600;
/// How long anything that a test waits for may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How often a condition without a notification is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// A control plane. Dropping it ends its processes.
pub(crate) struct Bed {
    pub(crate) client: Client,
    kubeconfig: Utf8PathBuf,
    cluster: LocalCluster,
    directory: tempfile::TempDir,
    _turn: File,
}

impl Bed {
    pub(crate) async fn up(name: &str) -> Self {
        let turn = fs_err::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("live.lock"));
        let (turn, _) = turn.unwrap().into_parts();
        turn.lock().unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tools = Tools::resolve(&ToolOptions::from_env().unwrap(), &NoProgress)
            .await
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(Utf8Path::from_path(directory.path()).unwrap());
        let options = LocalOptions {
            directory: home.claim(name).unwrap(),
            logs: home.logs(name),
            binaries: LocalBinaries::from(&tools),
            kubernetes: "v1.36.3".to_owned(),
            nodes: 1,
            guard: Some(CLAIMCHECK.into()),
        };
        fs_err::create_dir_all(&options.logs).unwrap();
        let cluster = LocalCluster::up(&options).await.unwrap();
        Self {
            client: cluster.client(),
            kubeconfig: cluster.describe().kubeconfig,
            cluster,
            directory,
            _turn: turn,
        }
    }

    /// A path of this test.
    pub(crate) fn path(&self, below: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path())
            .unwrap()
            .join(below)
    }

    /// The kubeconfig of somebody who may do everything.
    pub(crate) fn admin(&self) -> &Utf8Path {
        &self.kubeconfig
    }

    pub(crate) async fn apply(&self, text: &str, namespace: &str) {
        manifests::apply(&self.client, text, namespace)
            .await
            .unwrap();
    }

    /// A kubeconfig with a token of an account, as a pod of it would have.
    pub(crate) async fn account(&self, namespace: &str, name: &str) -> Utf8PathBuf {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .unwrap();
        let token = answer.status.unwrap().token;
        let admin = Kubeconfig::read_from(&self.kubeconfig).unwrap();
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
        Box::new(self.cluster).down().await;
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

//! A control plane for one test. Tests that have one take turns, also across processes.

use std::fs::File;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use testbed::artifacts::Home;
use testbed::cluster::Cluster as _;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::manifests;
use testbed::tools::{NoProgress, ToolOptions, Tools};

/// The program under test, which is also the guard of the children.
pub(crate) const CLAIMCHECK: &str = env!("CARGO_BIN_EXE_claimcheck");
/// How long a token holds, in seconds: longer than any test.
const TOKEN_SECONDS: i64 = 3600;

/// See the module. Dropping it ends its processes.
pub(crate) struct Plane {
    pub(crate) client: Client,
    /// Of somebody who may do everything.
    pub(crate) kubeconfig: Utf8PathBuf,
    cluster: LocalCluster,
    directory: tempfile::TempDir,
    _turn: File,
}

impl Plane {
    pub(crate) async fn up(name: &str) -> Self {
        let turn = fs_err::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plane.lock"));
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

    pub(crate) async fn apply(&self, text: &str, namespace: &str) {
        let applied = manifests::apply(&self.client, text, namespace).await;
        applied.unwrap();
    }

    /// A token of an account, as a pod of it would have.
    pub(crate) async fn token(&self, namespace: &str, account: &str) -> String {
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap();
        answer.status.unwrap().token.unwrap()
    }

    pub(crate) async fn down(self) {
        Box::new(self.cluster).down().await;
    }
}

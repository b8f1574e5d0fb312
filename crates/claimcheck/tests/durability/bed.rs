//! A control plane for one test, and the rights that the shipped manifests give.

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
/// Where the shipped manifests put the provisioner.
pub(crate) const NAMESPACE: &str = "nfs-provisioner";
/// How long a token holds: longer than any test.
const TOKEN_SECONDS: i64 = 3600;

/// A control plane, with the shipped rights applied. Dropping it ends its processes.
pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) kubeconfig: Utf8PathBuf,
    /// A token of the shipped `ServiceAccount`.
    pub(crate) token: String,
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
        let client = cluster.client();
        for text in [
            include_str!("../../../../deploy/plain/namespace.yaml"),
            include_str!("../../../../deploy/plain/rbac.yaml"),
        ] {
            manifests::apply(&client, text, NAMESPACE).await.unwrap();
        }
        Self {
            token: token(&client).await,
            kubeconfig: cluster.describe().kubeconfig,
            client,
            cluster,
            directory,
            _turn: turn,
        }
    }

    /// A directory of this test.
    pub(crate) fn path(&self, below: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path())
            .unwrap()
            .join(below)
    }

    pub(crate) async fn down(self) {
        Box::new(self.cluster).down().await;
    }
}

async fn token(client: &Client) -> String {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = api
        .create_token_request("nfs-provisioner", &PostParams::default(), &request)
        .await
        .unwrap();
    answer.status.unwrap().token.unwrap()
}

//! A control plane for one test, and the rights that the shipped manifests give.

use camino::Utf8PathBuf;
use kube::Client;

#[path = "../shared/plane.rs"]
mod plane;

pub(crate) use plane::CLAIMCHECK;
use plane::Plane;

/// Where the shipped manifests put the provisioner.
pub(crate) const NAMESPACE: &str = "nfs-provisioner";

/// A control plane, with the shipped rights applied. Dropping it ends its processes.
pub(crate) struct Bed {
    pub(crate) client: Client,
    pub(crate) kubeconfig: Utf8PathBuf,
    /// A token of the shipped `ServiceAccount`.
    pub(crate) token: String,
    plane: Plane,
}

impl Bed {
    pub(crate) async fn up(name: &str) -> Self {
        let plane = Plane::up(name).await;
        for text in [
            include_str!("../../../../deploy/plain/namespace.yaml"),
            include_str!("../../../../deploy/plain/rbac.yaml"),
        ] {
            plane.apply(text, NAMESPACE).await;
        }
        Self {
            token: plane.token(NAMESPACE, "nfs-provisioner").await,
            kubeconfig: plane.kubeconfig.clone(),
            client: plane.client.clone(),
            plane,
        }
    }

    /// A path of this test.
    pub(crate) fn path(&self, below: &str) -> Utf8PathBuf {
        self.plane.path(below)
    }

    pub(crate) async fn down(self) {
        self.plane.down().await;
    }
}

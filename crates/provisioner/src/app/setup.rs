//! Client and backend of a real run.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::direct::{DirectBackend, DirectOptions};
use crate::backend::mount::{MountBackend, MountOptions};
use crate::cluster::Kubernetes;
use crate::config::{BackendChoice, Config};
use crate::error::Error;
use crate::rules::SoundRules;
use crate::seams::Seams;

/// The seams of a real run: the backend chosen, the cluster of the kubeconfig, sound decisions.
///
/// # Errors
/// [`Error::Client`] and [`Error::Storage`] when one cannot be set up.
pub async fn real_seams(config: &Config) -> Result<Seams, Error> {
    Ok(Seams {
        storage: open_backend(config)?,
        cluster: Arc::new(Kubernetes::new(client(config).await?, config.limits.api)),
        rules: Arc::new(SoundRules),
    })
}

/// The storage backend a configuration names. The export itself is looked at later: one that is
/// missing or wrong is waited for, and the pod does not restart over it.
///
/// # Errors
/// [`Error::Storage`] when the settings cannot name an export.
pub fn open_backend(config: &Config) -> Result<Arc<dyn Backend>, Error> {
    Ok(match &config.backend {
        BackendChoice::Mount {
            path,
            allow_any_filesystem,
        } => Arc::new(MountBackend::new(MountOptions {
            path: path.clone(),
            allow_any_filesystem: *allow_any_filesystem,
        })),
        BackendChoice::Direct {
            version,
            nfs_port,
            mount_port,
            uid,
            gid,
        } => Arc::new(DirectBackend::connect(DirectOptions {
            version: *version,
            nfs_port: *nfs_port,
            mount_port: *mount_port,
            uid: *uid,
            gid: *gid,
            ..DirectOptions::new(
                config.target.server.clone(),
                config.target.export.to_string(),
            )
        })?),
    })
}

/// A client from the kubeconfig, or from the pod's service account without one.
///
/// # Errors
/// [`Error::Client`].
pub async fn client(config: &Config) -> Result<kube::Client, Error> {
    let from = config.kubeconfig.as_ref().map_or_else(
        || "the service account of the pod".to_owned(),
        ToString::to_string,
    );
    let failed = |cause: String| Error::Client {
        from: from.clone(),
        cause,
    };
    let kube_config = match &config.kubeconfig {
        Some(path) => {
            let path = path.clone();
            // Files and programs for credentials may take their time; signals are heard meanwhile.
            let kubeconfig = blocking(move || kube::config::Kubeconfig::read_from(path))
                .await
                .map_err(failed)?;
            kube::Config::from_custom_kubeconfig(
                kubeconfig,
                &kube::config::KubeConfigOptions::default(),
            )
            .await
            .map_err(|error| failed(error.to_string()))?
        }
        None => kube::Config::incluster().map_err(|error| failed(error.to_string()))?,
    };
    tracing::info!(kubeconfig = from, server = %kube_config.cluster_url, "cluster");
    blocking(move || kube::Client::try_from(kube_config))
        .await
        .map_err(failed)
}

/// Does what blocks on a thread of its own; its error in words.
async fn blocking<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

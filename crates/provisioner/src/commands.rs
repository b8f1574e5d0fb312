//! The commands beside `run`: each looks at cluster and export, answers, and ends.
//!
//! `check` never writes; its storage is behind a fence that is closed. `adopt` writes an annotation
//! that the running provisioner acts on, `orphans --remove` empties trash that no record names, and
//! `finalizers --remove` holds the lock while it works.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use serde_json::Value;

use crate::cluster::{self, ApiCause, ApiError, Changes, ClusterApi};
use crate::config::Config;
use crate::constants::{OWNER, PROVISIONED_BY};
use crate::error::Error;
use crate::lease;
use crate::lease::endpoints::OnEndpoints;
use crate::lease::objects::LockObjects as _;
use crate::seams::Seams;

pub mod adopt;
pub mod check;
pub mod finalizers;
pub mod orphans;
mod table;

/// How long a complete list may take.
const LIST_LIMIT: Duration = Duration::from_mins(1);

/// What a command found or did.
pub trait Report {
    /// For people: aligned columns, and a sentence at the end.
    fn table(&self) -> String;

    /// For programs.
    fn json(&self) -> Value;

    /// Why the process ends with the code for an answer that is no good, if it does.
    fn complaint(&self) -> Option<String>;
}

/// The objects that `keep` wants of a complete list.
async fn all<K>(
    what: &'static str,
    changes: Changes<K>,
    keep: impl Fn(&K) -> bool,
) -> Result<Vec<K>, Error> {
    let listed = cluster::listed(what, changes, keep);
    let found = tokio::time::timeout(LIST_LIMIT, listed).await;
    Ok(found.map_err(|_| ApiError {
        verb: "list",
        object: what.to_owned(),
        cause: ApiCause::TimedOut,
        message: format!("the API server did not answer within {LIST_LIMIT:?}"),
    })??)
}

/// Every volume, by name.
async fn all_volumes(seams: &Seams) -> Result<Vec<PersistentVolume>, Error> {
    let mut volumes = all("volumes", seams.cluster.watch_volumes(), |_| true).await?;
    volumes.sort_by_key(ResourceExt::name_any);
    Ok(volumes)
}

/// The id of this deployment, as `run` would find it: set, on the lock, on its volumes. `None`
/// before the first start.
async fn owner(
    config: &Config,
    seams: &Seams,
    volumes: &[PersistentVolume],
) -> Result<Option<String>, Error> {
    if config.owner.is_some() {
        return Ok(config.owner.clone());
    }
    let (namespace, name) = (&config.namespace, config.target.provisioner.lock_name());
    let on_lease = if_granted(seams.cluster.get_lease(namespace, &name).await)?;
    if let Some(owner) = on_lease.as_ref().and_then(lease::owner) {
        return Ok(Some(owner));
    }
    let old = OnEndpoints(seams.cluster.clone());
    let on_endpoints = if_granted(old.get_lease(namespace, &name).await)?;
    if let Some(owner) = on_endpoints.as_ref().and_then(lease::owner) {
        return Ok(Some(owner));
    }
    let mut counts = std::collections::BTreeMap::<&String, usize>::new();
    for volume in volumes.iter().filter(|volume| is_named(config, volume)) {
        if let Some(owner) = volume.annotations().get(OWNER) {
            *counts.entry(owner).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    Ok(most.map(|(owner, _)| owner.clone()))
}

/// What is not granted is as if it were not there: the account of a person may see less.
fn if_granted<T>(result: Result<Option<T>, ApiError>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.cause == ApiCause::Forbidden => Ok(None),
        other => Ok(other?),
    }
}

/// Whether a volume says that a provisioner of our name made it.
fn is_named(config: &Config, volume: &PersistentVolume) -> bool {
    volume
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|name| name == config.target.provisioner.as_str())
}

/// The volume as it stands now; one that is gone is no error.
async fn live(
    cluster: &dyn ClusterApi,
    name: &str,
    uid: Option<&str>,
) -> Result<Option<PersistentVolume>, ApiError> {
    let found = cluster.get_volume(name).await?;
    Ok(found.filter(|volume| volume.metadata.uid.as_deref() == uid))
}

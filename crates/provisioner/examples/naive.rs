//! The least that can be called a provisioner, to measure others by (`docs/bench.md`): it makes a
//! volume object for each claim and deletes it when it is Released. It makes no directory, keeps no
//! record, takes no lock and tries nothing twice, so nobody should run it for any other purpose.
//!
//! `PROVISIONER_NAME` says which claims are its own; the cluster is that of `KUBECONFIG`.

use std::io::Write as _;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{
    NFSVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec,
};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

/// Names the provisioner of a claim (`pkg/controller/volume/persistentvolume` in Kubernetes).
const ASKED: &str = "volume.kubernetes.io/storage-provisioner";
/// Names the provisioner of a volume.
const MADE_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Calls at once: as many as the reference has workers.
const CALLS: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Two rustls providers in one tree panic at first use; this is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let name = std::env::var("PROVISIONER_NAME")?;
    let client = Client::try_default().await?;
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    writeln!(std::io::stdout(), "watching")?;
    let making = seen(&claims).for_each_concurrent(CALLS, async |claim| {
        if let Some(volume) = volume_for(&name, &claim) {
            volumes.create(&PostParams::default(), &volume).await.ok();
        }
    });
    let deleting = seen(&volumes).for_each_concurrent(CALLS, async |volume| {
        if is_over(&name, &volume) {
            let (name, how) = (volume.name_any(), DeleteParams::default());
            volumes.delete(&name, &how).await.ok();
        }
    });
    tokio::join!(making, deleting);
    Ok(())
}

/// Every object, as it is and whenever it changes.
fn seen<K>(api: &Api<K>) -> impl Stream<Item = K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    watcher(api.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .filter_map(async |object| object.ok())
}

/// The volume of a claim that waits for one of ours.
fn volume_for(provisioner: &str, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let asked = claim.annotations().get(ASKED)?;
    let (name, uid) = (claim.name_any(), claim.uid()?);
    let spec = claim.spec.clone()?;
    if asked != provisioner
        || spec.volume_name.is_some()
        || claim.metadata.deletion_timestamp.is_some()
    {
        return None;
    }
    let made_by = (MADE_BY.to_owned(), provisioner.to_owned());
    Some(PersistentVolume {
        metadata: ObjectMeta {
            name: Some(format!("pvc-{uid}")),
            annotations: Some([made_by].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources?.requests,
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: claim.namespace(),
                name: Some(name),
                uid: Some(uid.clone()),
                ..ObjectReference::default()
            }),
            nfs: Some(NFSVolumeSource {
                server: "127.0.0.1".to_owned(),
                path: format!("/export/{uid}"),
                read_only: None,
            }),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: spec.storage_class_name,
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    })
}

/// Whether a volume of ours is Released.
fn is_over(provisioner: &str, volume: &PersistentVolume) -> bool {
    let made_by = volume.annotations().get(MADE_BY);
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    made_by.is_some_and(|name| name == provisioner)
        && volume.metadata.deletion_timestamp.is_none()
        && phase == Some("Released")
}

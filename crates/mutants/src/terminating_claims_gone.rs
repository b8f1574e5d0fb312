//! A claim that is being deleted is taken for gone, though a pod may still use it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher;
use provisioner::cluster::{ApiResult, Changes, ClusterApi, Deletion, Right};
use provisioner::constants::RELEASED;
use provisioner::seams::Seams;

use crate::Mutant;

pub(crate) const MUTANT: Mutant = Mutant {
    name: "terminating-claims-gone",
    defect: "A claim that is being deleted is taken for gone, though a pod may still use it.",
    target: "R13",
    kin: &[],
    wrap: |seams| Seams {
        cluster: Arc::new(Defect(Arc::clone(&seams.cluster))),
        ..seams
    },
};

/// Shows a volume as Released as soon as its claim is Terminating, and such a claim not at all.
struct Defect(Arc<dyn ClusterApi>);

fn is_ending(claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.deletion_timestamp.is_some()
}

fn released(mut volume: PersistentVolume) -> PersistentVolume {
    volume.status.get_or_insert_default().phase = Some(RELEASED.to_owned());
    volume
}

/// The volume of a claim that has begun to end, as it is to be seen.
async fn let_go(
    cluster: Arc<dyn ClusterApi>,
    change: Result<watcher::Event<PersistentVolumeClaim>, watcher::Error>,
) -> Option<Result<watcher::Event<PersistentVolume>, watcher::Error>> {
    let Ok(watcher::Event::Apply(claim)) = change else {
        return None;
    };
    if !is_ending(&claim) {
        return None;
    }
    let volume = claim.spec?.volume_name?;
    let volume = cluster.get_volume(&volume).await.ok()??;
    Some(Ok(watcher::Event::Apply(released(volume))))
}

#[async_trait]
impl ClusterApi for Defect {
    async fn get_claim(
        &self,
        namespace: &str,
        name: &str,
    ) -> ApiResult<Option<PersistentVolumeClaim>> {
        let claim = self.0.get_claim(namespace, name).await?;
        Ok(claim.filter(|claim| !is_ending(claim)))
    }

    async fn get_volume(&self, name: &str) -> ApiResult<Option<PersistentVolume>> {
        let Some(volume) = self.0.get_volume(name).await? else {
            return Ok(None);
        };
        let spec = volume.spec.as_ref();
        let reference = spec.and_then(|spec| spec.claim_ref.as_ref());
        if let Some(reference) = reference
            && let (Some(namespace), Some(name)) = (&reference.namespace, &reference.name)
        {
            // Also once the claim is gone: what was shown once is not shown otherwise later.
            let claim = self.0.get_claim(namespace, name).await?;
            let claim = claim.filter(|claim| claim.metadata.uid == reference.uid);
            if claim.is_none_or(|claim| is_ending(&claim)) {
                return Ok(Some(released(volume)));
            }
        }
        Ok(Some(volume))
    }

    fn watch_volumes(&self) -> Changes<PersistentVolume> {
        let cluster = Arc::clone(&self.0);
        let let_go = self
            .0
            .watch_claims()
            .filter_map(move |change| let_go(Arc::clone(&cluster), change));
        stream::select(self.0.watch_volumes(), let_go).boxed()
    }

    async fn create_volume(&self, volume: &PersistentVolume) -> ApiResult<PersistentVolume> {
        self.0.create_volume(volume).await
    }

    async fn delete_volume(&self, name: &str, uid: &str) -> ApiResult<Deletion> {
        self.0.delete_volume(name, uid).await
    }

    async fn set_finalizers(
        &self,
        name: &str,
        resource_version: &str,
        finalizers: &[String],
    ) -> ApiResult<()> {
        self.0
            .set_finalizers(name, resource_version, finalizers)
            .await
    }

    async fn annotate_volume(&self, name: &str, annotations: &[(&str, &str)]) -> ApiResult<()> {
        self.0.annotate_volume(name, annotations).await
    }

    async fn create_event(&self, event: &Event) -> ApiResult<()> {
        self.0.create_event(event).await
    }

    async fn raise_event(&self, event: &Event) -> ApiResult<()> {
        self.0.raise_event(event).await
    }

    async fn get_lease(&self, namespace: &str, name: &str) -> ApiResult<Option<Lease>> {
        self.0.get_lease(namespace, name).await
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.0.create_lease(lease).await
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.0.update_lease(lease).await
    }

    async fn get_endpoints(&self, namespace: &str, name: &str) -> ApiResult<Option<Endpoints>> {
        self.0.get_endpoints(namespace, name).await
    }

    async fn create_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        self.0.create_endpoints(endpoints).await
    }

    async fn update_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        self.0.update_endpoints(endpoints).await
    }

    async fn is_granted(&self, right: &Right, lock_namespace: &str) -> ApiResult<bool> {
        self.0.is_granted(right, lock_namespace).await
    }

    fn watch_claims(&self) -> Changes<PersistentVolumeClaim> {
        self.0.watch_claims()
    }

    fn watch_classes(&self) -> Changes<StorageClass> {
        self.0.watch_classes()
    }
}

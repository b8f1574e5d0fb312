//! Classes, claims, volumes and events, as a test makes and reads them.

use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::bed::until;

/// Where claims are made.
pub(crate) const NAMESPACE: &str = "default";

#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) client: Client,
    pub(crate) provisioner: String,
}

impl Objects {
    pub(crate) fn classes(&self) -> Api<StorageClass> {
        Api::all(self.client.clone())
    }

    pub(crate) fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    pub(crate) fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    pub(crate) async fn class(&self, name: &str, policy: &str, parameters: &Value) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": { "name": name },
            "provisioner": self.provisioner,
            "parameters": parameters,
            "reclaimPolicy": policy,
        });
        let class = serde_json::from_value(class).unwrap();
        self.classes()
            .create(&PostParams::default(), &class)
            .await
            .unwrap();
    }

    /// Makes a claim; `volume` binds it to one by name.
    pub(crate) async fn claim(
        &self,
        name: &str,
        class: &str,
        annotations: &Value,
        volume: Option<&str>,
    ) -> PersistentVolumeClaim {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": NAMESPACE, "annotations": annotations },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": { "requests": { "storage": "1Mi" } },
                "storageClassName": class,
                "volumeName": volume,
            },
        });
        let claim = serde_json::from_value(claim).unwrap();
        self.claims()
            .create(&PostParams::default(), &claim)
            .await
            .unwrap()
    }

    /// The volume a claim is bound to; waits for it.
    pub(crate) async fn bound(&self, claim: &str) -> PersistentVolume {
        until(&format!("claim {claim} is Bound"), async || {
            let claim = self.claims().get(claim).await.unwrap();
            claim.status.and_then(|status| status.phase).as_deref() == Some("Bound")
        })
        .await;
        let claim = self.claims().get(claim).await.unwrap();
        let name = claim.spec.unwrap().volume_name.unwrap();
        self.volumes().get(&name).await.unwrap()
    }

    /// Deletes a claim that no pod uses.
    pub(crate) async fn delete_claim(&self, name: &str) {
        self.claims()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub(crate) async fn gone(&self, volume: &str) {
        until(&format!("volume {volume} is gone"), async || {
            self.volumes().get_opt(volume).await.unwrap().is_none()
        })
        .await;
    }

    pub(crate) async fn phase(&self, volume: &str, phase: &str) {
        until(&format!("volume {volume} is {phase}"), async || {
            let volume = self.volumes().get(volume).await.unwrap();
            volume.status.and_then(|status| status.phase).as_deref() == Some(phase)
        })
        .await;
    }

    pub(crate) async fn annotate(&self, volume: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.volumes()
            .patch(volume, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// The messages of the events of a reason on an object; waits for the first.
    pub(crate) async fn told(&self, object: &str, reason: &str) -> Vec<String> {
        let mut messages = Vec::new();
        until(&format!("event {reason} on {object}"), async || {
            messages = self.events(object, reason).await;
            !messages.is_empty()
        })
        .await;
        messages
    }

    pub(crate) async fn events(&self, object: &str, reason: &str) -> Vec<String> {
        let events: Api<Event> = Api::all(self.client.clone());
        let selector = format!("involvedObject.name={object},reason={reason}");
        let found = events
            .list(&ListParams::default().fields(&selector))
            .await
            .unwrap();
        found
            .items
            .into_iter()
            .filter_map(|event| event.message)
            .collect()
    }
}

/// The finalizers of a volume that are not the API server's own.
pub(crate) fn finalizers(volume: &PersistentVolume) -> Vec<&str> {
    volume
        .finalizers()
        .iter()
        .map(String::as_str)
        .filter(|finalizer| *finalizer != "kubernetes.io/pv-protection")
        .collect()
}

//! Classes, claims, volumes and events, as an administrator makes and sees them.

use k8s_openapi::api::core::v1::{Event, Namespace, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::wait::{PATIENCE, until};

/// The objects of one station: its namespace and its classes.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) client: Client,
    /// The namespace, and the prefix of the classes.
    pub(crate) name: String,
    pub(crate) provisioner: String,
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

impl Objects {
    pub(crate) async fn set_up(&self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = object(json!({ "metadata": { "name": self.name } }));
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        self.class("delete", json!({ "archiveOnDelete": "false" }))
            .await;
        self.class("archive", json!({ "archiveOnDelete": "true" }))
            .await;
        self.class("retain", json!({ "onDelete": "retain" })).await;
    }

    /// Makes a class of the station.
    pub(crate) async fn class(&self, class: &str, parameters: Value) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let class = object(json!({
            "metadata": { "name": format!("{}-{class}", self.name) },
            "provisioner": self.provisioner,
            "parameters": parameters,
        }));
        classes
            .create(&PostParams::default(), &class)
            .await
            .unwrap();
    }

    pub(crate) async fn remove_class(&self, class: &str) {
        let classes: Api<StorageClass> = Api::all(self.client.clone());
        let name = format!("{}-{class}", self.name);
        classes
            .delete(&name, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub(crate) fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub(crate) fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    /// Makes a claim; its UID.
    pub(crate) async fn claim(&self, name: &str, class: &str) -> String {
        let claim = object(json!({
            "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": format!("{}-{class}", self.name),
                "resources": { "requests": { "storage": "1Mi" } },
            },
        }));
        let made = self
            .claims()
            .create(&PostParams::default(), &claim)
            .await
            .unwrap();
        made.uid().unwrap()
    }

    /// Makes a volume that any claim of a class may have, as an administrator does.
    pub(crate) async fn premade(&self, name: &str, class: &str) {
        let volume = object(json!({
            "metadata": { "name": name },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": { "storage": "1Mi" },
                "nfs": { "server": "elsewhere", "path": format!("/{name}") },
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": format!("{}-{class}", self.name),
            },
        }));
        self.volumes()
            .create(&PostParams::default(), &volume)
            .await
            .unwrap();
    }

    /// Deletes a volume object and does not wait for its end.
    pub(crate) async fn drop_volume(&self, name: &str) -> Result<(), String> {
        self.volumes()
            .delete(name, &DeleteParams::default())
            .await
            .map_err(|error| error.to_string())
            .map(drop)
    }

    /// Sets an annotation of a claim.
    pub(crate) async fn annotate(&self, claim: &str, key: &str, value: &str) {
        let patch = json!({ "metadata": { "annotations": { key: value } } });
        self.claims()
            .patch(claim, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// Deletes a claim and waits until it is gone.
    pub(crate) async fn unclaim(&self, name: &str) -> Result<(), String> {
        self.claims()
            .delete(name, &DeleteParams::default())
            .await
            .map_err(|error| error.to_string())?;
        until(PATIENCE, &format!("claim {name} gone"), async || match self
            .claims()
            .get_opt(name)
            .await
        {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// The claim's volume, if it is Bound.
    pub(crate) async fn bound(&self, name: &str) -> Result<String, String> {
        let claim = self
            .claims()
            .get(name)
            .await
            .map_err(|error| error.to_string())?;
        let phase = claim.status.and_then(|status| status.phase);
        match (
            phase.as_deref(),
            claim.spec.and_then(|spec| spec.volume_name),
        ) {
            (Some("Bound"), Some(volume)) => Ok(volume),
            (phase, _) => Err(format!("claim {name} is {phase:?}")),
        }
    }

    /// Waits until a claim is Bound; its volume.
    pub(crate) async fn until_bound(&self, name: &str) -> Result<String, String> {
        until(PATIENCE, &format!("claim {name} Bound"), async || {
            self.bound(name).await
        })
        .await
    }

    /// Deletes every claim there is in the namespace.
    pub(crate) async fn unclaim_all(&self) -> Result<(), String> {
        self.claims()
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .map_err(|error| error.to_string())
            .map(drop)
    }

    /// Deletes a claim and does not wait for its end.
    pub(crate) async fn drop_claim(&self, name: &str) -> Result<(), String> {
        self.claims()
            .delete(name, &DeleteParams::default())
            .await
            .map_err(|error| error.to_string())
            .map(drop)
    }

    /// How many of these volumes are of a class of this station.
    pub(crate) fn count<'a>(&self, volumes: impl Iterator<Item = &'a PersistentVolume>) -> usize {
        let prefix = format!("{}-", self.name);
        let classes =
            volumes.filter_map(|volume| volume.spec.as_ref()?.storage_class_name.as_ref());
        classes.filter(|class| class.starts_with(&prefix)).count()
    }

    /// The volumes made for a claim, by its UID.
    pub(crate) async fn volumes_of(&self, uid: &str) -> Result<Vec<PersistentVolume>, String> {
        let all = self
            .volumes()
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let of = |volume: &PersistentVolume| {
            let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
            reference.uid.clone()
        };
        Ok(all
            .items
            .into_iter()
            .filter(|volume| of(volume).as_deref() == Some(uid))
            .collect())
    }

    /// Waits until no volume made for a claim is left.
    pub(crate) async fn until_ended(&self, uid: &str, whose: &str) -> Result<(), String> {
        until(PATIENCE, &format!("end of {whose}"), async || {
            let left = self.volumes_of(uid).await?.len();
            if left == 0 {
                Ok(())
            } else {
                Err("it is there".to_owned())
            }
        })
        .await
    }

    /// The events about an object with a reason; those on volumes are in `default`.
    pub(crate) async fn events(&self, about: &str, reason: &str) -> Vec<Event> {
        let mut found = Vec::new();
        for namespace in [self.name.as_str(), "default"] {
            let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
            let all = api.list(&ListParams::default()).await.unwrap();
            found.extend(all.items.into_iter().filter(|event| {
                event.involved_object.name.as_deref() == Some(about)
                    && event.reason.as_deref() == Some(reason)
            }));
        }
        found
    }

    /// Waits for an event and gives its message.
    pub(crate) async fn until_event(&self, about: &str, reason: &str) -> Result<String, String> {
        until(
            PATIENCE,
            &format!("event {reason} on {about}"),
            async || {
                let event = self.events(about, reason).await.into_iter().next();
                event
                    .and_then(|event| event.message)
                    .ok_or_else(|| "there is none".to_owned())
            },
        )
        .await
    }
}

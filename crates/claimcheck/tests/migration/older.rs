//! nfs-subdir 4.0.2 as far as others see it: the objects it writes, the directories it makes, what
//! it does when a claim is gone, and its lock. By its own rules, the harmful ones included.

use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::objects::{NAMESPACE, Objects};

/// The annotation its lock is kept in.
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";

pub(crate) struct Older {
    pub(crate) objects: Objects,
    /// `NFS_SERVER`.
    pub(crate) server: String,
    /// `NFS_PATH`.
    pub(crate) path: String,
    /// What it has mounted.
    pub(crate) mounted: Utf8PathBuf,
}

impl Older {
    /// Makes a claim and a volume for it; the controller manager binds them.
    pub(crate) async fn provision(
        &self,
        name: &str,
        class: &str,
        annotations: &Value,
    ) -> PersistentVolume {
        let claim = self.objects.claim(name, class, annotations, None).await;
        let volume = format!("pvc-{}", claim.uid().unwrap());
        self.volume(&claim, &volume).await;
        self.objects.bound(name).await
    }

    /// The volume of a claim, with its directory.
    pub(crate) async fn volume(
        &self,
        claim: &PersistentVolumeClaim,
        name: &str,
    ) -> PersistentVolume {
        let spec = claim.spec.clone().unwrap();
        let class = spec.storage_class_name.clone().unwrap();
        let class = self.objects.classes().get(&class).await.unwrap();
        let pattern = class
            .parameters
            .as_ref()
            .and_then(|given| given.get("pathPattern"));
        let directory = match pattern {
            None => format!("{}-{}-{name}", claim.namespace().unwrap(), claim.name_any()),
            Some(pattern) => rendered(pattern, claim),
        };
        let made = self.mounted.join(&directory);
        fs_err::create_dir_all(&made).unwrap();
        fs_err::set_permissions(&made, std::fs::Permissions::from_mode(0o777)).unwrap();
        fs_err::write(made.join("data"), claim.name_any()).unwrap();
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "annotations": { "pv.kubernetes.io/provisioned-by": self.objects.provisioner },
            },
            "spec": {
                "accessModes": spec.access_modes,
                "capacity": spec.resources.unwrap().requests,
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": claim.namespace(), "name": claim.name_any(), "uid": claim.uid(),
                    "resourceVersion": claim.resource_version(),
                },
                "nfs": { "server": self.server, "path": format!("{}/{directory}", self.path) },
                "persistentVolumeReclaimPolicy": class.reclaim_policy,
                "storageClassName": class.name_any(),
            },
        });
        let volume = serde_json::from_value(volume).unwrap();
        self.objects
            .volumes()
            .create(&PostParams::default(), &volume)
            .await
            .unwrap()
    }

    /// What it does about a volume whose claim is gone: it reads the class now, takes the last
    /// element of the path, and acts.
    pub(crate) async fn reclaim(&self, volume: &PersistentVolume) {
        let spec = volume.spec.as_ref().unwrap();
        let path = &spec.nfs.as_ref().unwrap().path;
        let base = path.rsplit('/').next().unwrap();
        let class = spec.storage_class_name.as_ref().unwrap();
        let class = self.objects.classes().get(class).await.unwrap();
        let get = |key: &str| {
            class
                .parameters
                .as_ref()
                .and_then(|given| given.get(key).cloned())
        };
        let directory = self.mounted.join(base);
        match (
            get("onDelete").as_deref(),
            get("archiveOnDelete").as_deref(),
        ) {
            (Some("retain"), _) => {}
            (Some("delete"), _) | (_, Some("false")) => fs_err::remove_dir_all(directory).unwrap(),
            _ => fs_err::rename(directory, self.mounted.join(format!("archived-{base}"))).unwrap(),
        }
        self.objects
            .volumes()
            .delete(&volume.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Takes or renews its lock, for so many seconds.
    pub(crate) async fn renew(&self, holder: &str, seconds: i32) {
        let api: Api<Endpoints> = Api::namespaced(self.objects.client.clone(), NAMESPACE);
        let name = self.lock_name();
        let record = json!({
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "acquireTime": "2021-03-01T10:00:00Z",
            // Whatever its clock says; each renewal has to differ.
            "renewTime": Timestamp::now().to_string(),
            "leaderTransitions": 3,
        });
        let annotations = json!({ "metadata": { "annotations": { LOCK: record.to_string() } } });
        if api.get_opt(&name).await.unwrap().is_none() {
            let mut endpoints = annotations.clone();
            endpoints["metadata"]["name"] = json!(name);
            let endpoints = serde_json::from_value(endpoints).unwrap();
            api.create(&PostParams::default(), &endpoints)
                .await
                .unwrap();
        } else {
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&annotations))
                .await
                .unwrap();
        }
    }

    pub(crate) fn lock_name(&self) -> String {
        self.objects.provisioner.replace('/', "-")
    }
}

/// The record of the lock on Endpoints.
pub(crate) async fn lock_record(client: &kube::Client, namespace: &str, name: &str) -> Value {
    let api: Api<Endpoints> = Api::namespaced(client.clone(), namespace);
    let endpoints = api.get_opt(name).await.unwrap();
    endpoints
        .and_then(|endpoints| endpoints.annotations().get(LOCK).cloned())
        .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

/// A pattern with the claim's values in it, rescanned as it does.
fn rendered(pattern: &str, claim: &PersistentVolumeClaim) -> String {
    let mut text = pattern
        .replace("${.PVC.name}", &claim.name_any())
        .replace("${.PVC.namespace}", &claim.namespace().unwrap());
    for (key, value) in claim.annotations() {
        text = text.replace(&format!("${{.PVC.annotations.{key}}}"), value);
    }
    text
}

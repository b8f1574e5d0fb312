//! Nothing that the provisioner asks of the API is deprecated: no answer carries a warning.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Endpoints, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use serde_json::json;
use testbed::manifests;

use crate::bed::{Bed, NAMESPACE};
use crate::station::Station;
use crate::wait::{PATIENCE, until};

/// What a whole life asks for, so that no part of it is left out of sight.
const ASKED: [&str; 10] = [
    "create events",
    "create leases",
    "create persistentvolumes",
    "create selfsubjectaccessreviews",
    "delete persistentvolumes",
    "patch persistentvolumes",
    "update leases",
    "watch persistentvolumeclaims",
    "watch persistentvolumes",
    "watch storageclasses",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_to_the_provisioner_carries_a_warning() {
    let bed = Bed::up("warnings").await;
    let mut station = Station::new(&bed, "warnings").await;
    station.start().await;
    let result = match life(&station).await {
        Ok(()) => control(&bed, &station).await,
        Err(error) => Err(error),
    };
    let log = station.log();
    bed.down().await;
    if let Err(error) = result {
        panic!("{error}\n{log}");
    }
}

/// Everything that becomes of claims and volumes, and the lock from its making to its release.
async fn life(station: &Station) -> Result<(), String> {
    let objects = station.objects.clone();
    growing(&objects.client, &objects.name, &objects.provisioner).await;
    objects.class("typo", json!({ "onDelete": "keep" })).await;
    objects.claim("refused", "typo").await;
    objects.until_event("refused", "ProvisioningFailed").await?;

    let mut volumes = Vec::new();
    for class in ["delete", "archive", "retain", "growing"] {
        let uid = objects.claim(class, class).await;
        volumes.push((class, uid, objects.until_bound(class).await?));
    }
    // The claim grows; the provisioner says that the volume does not.
    let patch = json!({ "spec": { "resources": { "requests": { "storage": "2Mi" } } } });
    objects
        .claims()
        .patch("growing", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(|error| error.to_string())?;
    objects.until_event("growing", "VolumeResizeFailed").await?;
    // One volume is deleted before its claim: its finalizer is taken off.
    let (_, _, first) = &volumes[0];
    objects
        .volumes()
        .delete(first, &DeleteParams::default())
        .await
        .map_err(|error| error.to_string())?;
    for (claim, uid, _) in &volumes {
        objects.unclaim(claim).await?;
        objects.until_ended(uid, claim).await?;
    }
    station.stop().await?;

    let warnings = station.api.warnings();
    if !warnings.is_empty() {
        return Err(format!("warnings were drawn: {warnings:#?}"));
    }
    let log = station.api.plan().since(0);
    let asked: BTreeSet<String> = log
        .iter()
        .map(|entry| format!("{} {}", entry.call.verb, entry.call.resource))
        .collect();
    let missing: Vec<&str> = ASKED
        .into_iter()
        .filter(|wanted| !asked.contains(*wanted))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("never asked: {missing:?}, but {asked:?}"))
    }
}

/// A class that promises growth.
async fn growing(client: &Client, name: &str, provisioner: &str) {
    let class: StorageClass = serde_json::from_value(json!({
        "metadata": { "name": format!("{name}-growing") },
        "provisioner": provisioner,
        "parameters": { "archiveOnDelete": "false" },
        "allowVolumeExpansion": true,
    }))
    .unwrap();
    Api::<StorageClass>::all(client.clone())
        .create(&PostParams::default(), &class)
        .await
        .unwrap();
}

/// A request that does draw a warning, through the same proxy: Endpoints are deprecated since
/// Kubernetes 1.33 (KEP-4974).
async fn control(bed: &Bed, station: &Station) -> Result<(), String> {
    let namespace = &station.objects.name;
    let rights = format!(
        "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: endpoints, namespace: {namespace} }}
rules: [{{ apiGroups: [''], resources: [endpoints], verbs: [list] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: endpoints, namespace: {namespace} }}
subjects: [{{ kind: ServiceAccount, name: nfs-provisioner, namespace: {NAMESPACE} }}]
roleRef: {{ kind: Role, name: endpoints, apiGroup: rbac.authorization.k8s.io }}
"
    );
    manifests::apply(&bed.client, &rights, namespace)
        .await
        .map_err(|error| error.to_string())?;
    let text = station.api.kubeconfig(&bed.token, namespace);
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    // Volumes first: they draw none.
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    claims.list(&ListParams::default()).await.unwrap();
    if !station.api.warnings().is_empty() {
        return Err("a list of claims drew a warning".to_owned());
    }
    let endpoints: Api<Endpoints> = Api::namespaced(client, namespace);
    until(
        PATIENCE,
        "the right to list endpoints",
        async || match endpoints.list(&ListParams::default()).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 403 => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        },
    )
    .await?;
    let warnings = station.api.warnings();
    match warnings.as_slice() {
        [warned]
            if warned.call.is("list", "endpoints")
                && warned.text.starts_with("299 ")
                && warned.text.contains("deprecated") =>
        {
            Ok(())
        }
        other => Err(format!("a deprecated list drew {other:?}")),
    }
}

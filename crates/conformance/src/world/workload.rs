//! Pods, headless services and stateful sets of a case.
//!
//! On simulated nodes a pod that carries the label [`HOLD_READY`] runs without being Ready, and one
//! that carries [`HOLD_TERMINATION`] stays while it is being deleted, until the label is taken off.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

pub use testbed::kind::{HOLD_READY, HOLD_TERMINATION};

use super::World;
use super::claim::Claim;
use super::manifests::typed;
use super::volume::Volume;
use crate::limits::Limit;
use crate::tracker::Kind;
use crate::trouble::{CaseResult, Trouble};

/// An image that every node has: the sandbox image of Kubernetes.
pub const IMAGE: &str = "registry.k8s.io/pause:3.10";

/// A StatefulSet to be created, with its headless service.
pub struct SetBuilder<'w> {
    world: &'w World,
    name: String,
    service: String,
    spec: Value,
    labels: BTreeMap<String, String>,
}

/// A StatefulSet that was created.
pub struct Set<'w> {
    world: &'w World,
    /// Its name.
    pub name: String,
    /// The name of its headless service.
    pub service: String,
    templates: Vec<String>,
}

impl World {
    /// Creates a pod that mounts `claims`.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn pod(&self, name: &str, claims: &[&str]) -> CaseResult<Pod> {
        let volumes: Vec<Value> = claims
            .iter()
            .map(|claim| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}}))
            .collect();
        let mounts: Vec<Value> = claims
            .iter()
            .map(|claim| json!({"name": claim, "mountPath": format!("/mnt/{claim}")}))
            .collect();
        let pod = typed(json!({
            "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": IMAGE, "volumeMounts": mounts}],
                "volumes": volumes,
            },
        }))?;
        self.track_object(Kind::Pod, name);
        let made = self
            .api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await?;
        self.mark(format!("pod {name}"), "created");
        Ok(made)
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// Failed when it is not within limit `control-plane`.
    pub async fn pod_ready(&self, name: &str) -> CaseResult<Pod> {
        let what = format!("pod {name} is Ready");
        self.eventually(name, what, Limit::ControlPlane, |pod| {
            pod.filter(|pod| is_ready(pod)).cloned()
        })
        .await
    }

    /// Waits until a pod is Running and has an address, Ready or not.
    ///
    /// # Errors
    /// Failed when it is not within limit `control-plane`.
    pub async fn pod_running(&self, name: &str) -> CaseResult<Pod> {
        let what = format!("pod {name} is Running");
        let running = |pod: &&Pod| {
            let status = pod.status.as_ref();
            status.and_then(|status| status.phase.as_deref()) == Some("Running")
                && status.and_then(|status| status.pod_ip.as_deref()).is_some()
        };
        self.eventually(name, what, Limit::ControlPlane, |pod| {
            pod.filter(running).cloned()
        })
        .await
    }

    /// Waits until a pod is being deleted and still there.
    ///
    /// # Errors
    /// Failed when it is not within limit `control-plane`.
    pub async fn pod_ending(&self, name: &str) -> CaseResult<Pod> {
        let what = format!("pod {name} is being deleted");
        self.eventually(name, what, Limit::ControlPlane, |pod: Option<&Pod>| {
            pod.filter(|pod| pod.metadata.deletion_timestamp.is_some())
                .cloned()
        })
        .await
    }

    /// Waits until there is no pod of this name.
    ///
    /// # Errors
    /// Failed when there is one after limit `control-plane`.
    pub async fn pod_gone(&self, name: &str) -> CaseResult {
        let what = format!("pod {name} is gone");
        self.eventually(name, what, Limit::ControlPlane, |pod: Option<&Pod>| {
            pod.is_none().then_some(())
        })
        .await
    }

    /// Sets or removes one label of a pod.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub async fn label_pod(&self, name: &str, key: &str, value: Option<&str>) -> CaseResult {
        let patch = json!({"metadata": {"labels": {key: value}}});
        self.api::<Pod>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        self.mark(
            format!("pod {name}"),
            format!("label {key} {}", value.unwrap_or("removed")),
        );
        Ok(())
    }

    /// Deletes a pod and does not wait.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub async fn delete_pod(&self, name: &str) -> CaseResult {
        self.api::<Pod>()
            .delete(name, &DeleteParams::default())
            .await?;
        self.mark(format!("pod {name}"), "deleted");
        Ok(())
    }

    /// Creates a headless service over `selector`; `ports` are pairs of name and number, an empty
    /// name makes an unnamed port.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn headless_service(
        &self,
        name: &str,
        selector: &BTreeMap<String, String>,
        ports: &[(&str, u16)],
    ) -> CaseResult<Service> {
        let ports: Vec<Value> = ports
            .iter()
            .map(|&(name, port)| match name {
                "" => json!({"port": port}),
                _ => json!({"name": name, "port": port}),
            })
            .collect();
        let service = typed(json!({
            "metadata": {"name": name},
            "spec": {"clusterIP": "None", "selector": selector, "ports": ports},
        }))?;
        self.track_object(Kind::Service, name);
        Ok(self
            .api::<Service>()
            .create(&PostParams::default(), &service)
            .await?)
    }

    /// A StatefulSet of one replica, ordered, with a headless service `<name>-svc` on port 80
    /// named `web`.
    pub fn statefulset(&self, name: &str) -> SetBuilder<'_> {
        let labels = BTreeMap::from([("app".to_owned(), name.to_owned())]);
        SetBuilder {
            world: self,
            name: name.to_owned(),
            service: format!("{name}-svc"),
            spec: json!({
                "replicas": 1,
                "serviceName": format!("{name}-svc"),
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{
                            "name": "main",
                            "image": IMAGE,
                            "ports": [{"name": "web", "containerPort": 80}],
                            "volumeMounts": [],
                        }],
                    },
                },
                "volumeClaimTemplates": [],
            }),
            labels,
        }
    }
}

impl<'w> SetBuilder<'w> {
    /// Sets the number of replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.spec["replicas"] = json!(replicas);
        self
    }

    /// Starts and stops pods without waiting for one another.
    #[must_use]
    pub fn parallel(mut self) -> Self {
        self.spec["podManagementPolicy"] = json!("Parallel");
        self
    }

    /// Adds a claim template of 1 MiB on `class`, mounted by each pod.
    #[must_use]
    pub fn template(mut self, name: &str, class: &StorageClass) -> Self {
        push(
            &mut self.spec["volumeClaimTemplates"],
            json!({
                "metadata": {"name": name},
                "spec": {
                    "storageClassName": class.name_any(),
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Mi"}},
                },
            }),
        );
        push(
            &mut self.spec["template"]["spec"]["containers"][0]["volumeMounts"],
            json!({"name": name, "mountPath": format!("/mnt/{name}")}),
        );
        self
    }

    /// Puts a label on every pod, such as [`HOLD_READY`].
    #[must_use]
    pub fn pod_label(mut self, key: &str, value: &str) -> Self {
        self.spec["template"]["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Creates the service and the set.
    ///
    /// # Errors
    /// Inconclusive when the API refuses one.
    pub async fn create(self) -> CaseResult<Set<'w>> {
        let Self {
            world,
            name,
            service,
            spec,
            labels,
        } = self;
        world
            .headless_service(&service, &labels, &[("web", 80)])
            .await?;
        let set: StatefulSet = typed(json!({"metadata": {"name": name}, "spec": spec}))?;
        world.create_set(&set).await
    }
}

impl World {
    /// Creates a StatefulSet that was written as YAML; its service is made elsewhere.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create_set(&self, set: &StatefulSet) -> CaseResult<Set<'_>> {
        let name = set.name_any();
        let spec = set.spec.clone().unwrap_or_default();
        let replicas = spec.replicas.unwrap_or(1);
        let templates = spec.volume_claim_templates.unwrap_or_default();
        let created = Set {
            world: self,
            name: name.clone(),
            service: spec.service_name.unwrap_or_default(),
            templates: templates.iter().map(ResourceExt::name_any).collect(),
        };
        // Tracked before the set, so that they are removed after it: nothing makes them again.
        created.track_claims(replicas);
        self.track_object(Kind::StatefulSet, &name);
        self.api::<StatefulSet>()
            .create(&PostParams::default(), set)
            .await?;
        self.mark(
            format!("statefulset {name}"),
            format!("created with {replicas} replicas"),
        );
        Ok(created)
    }
}

impl<'w> Set<'w> {
    /// The name of the pod with this ordinal.
    pub fn pod(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.name)
    }

    /// The name of the claim that `template` makes for this ordinal.
    pub fn claim_name(&self, template: &str, ordinal: i32) -> String {
        format!("{template}-{}-{ordinal}", self.name)
    }

    /// The claim that `template` made for this ordinal.
    ///
    /// # Errors
    /// Failed when there is none.
    pub async fn claim(&self, template: &str, ordinal: i32) -> CaseResult<Claim<'w>> {
        let name = self.claim_name(template, ordinal);
        match self
            .world
            .api::<PersistentVolumeClaim>()
            .get_opt(&name)
            .await?
        {
            Some(claim) => Ok(self.world.adopt_claim(claim)),
            None => Err(Trouble::failed(
                format!("the set {} has made claim {name}", self.name),
                "there is no such claim",
            )),
        }
    }

    /// Waits until the claim that `template` makes for the first pod is Bound: without it no pod of
    /// the set runs, and the claim's sentence says more than the pod's.
    ///
    /// # Errors
    /// Failed when there is no such claim within limit `control-plane`, or when it is not Bound
    /// within limit `claim-bound`.
    pub async fn served(&self, template: &str) -> CaseResult<Volume<'w>> {
        let name = self.claim_name(template, 0);
        let what = format!("the set {} makes claim {name}", self.name);
        let made = self.world.eventually(
            &name,
            what,
            Limit::ControlPlane,
            |claim: Option<&PersistentVolumeClaim>| claim.cloned(),
        );
        self.world.adopt_claim(made.await?).bound().await
    }

    /// The volumes behind the claims that `template` made for ordinals below `replicas`: each claim
    /// is Bound, and each has a directory that no other has.
    ///
    /// # Errors
    /// Failed when a claim or directory is missing, or two claims share a directory.
    pub async fn volumes(&self, template: &str, replicas: i32) -> CaseResult<Vec<Volume<'w>>> {
        let mut volumes = Vec::new();
        let mut directories = BTreeSet::new();
        for ordinal in 0..replicas {
            let volume = self.claim(template, ordinal).await?.bound().await?;
            let directory = volume.existing_directory().await?;
            if !directories.insert(directory.clone()) {
                return Err(Trouble::failed(
                    format!("each claim of set {} has a directory of its own", self.name),
                    format!("{directory} stands behind two claims"),
                ));
            }
            volumes.push(volume);
        }
        Ok(volumes)
    }

    /// Waits until `replicas` pods are Ready and no more exist.
    ///
    /// # Errors
    /// Failed when it is not so within limit `control-plane`.
    pub async fn ready(&self, replicas: i32) -> CaseResult {
        let what = format!("the set {} has exactly {replicas} Ready pods", self.name);
        let prefix = format!("{}-", self.name);
        let wanted = usize::try_from(replicas).unwrap_or_default();
        let ready = self
            .world
            .eventually_all::<Pod, _>(what, Limit::ControlPlane, |pods| {
                let ours: Vec<_> = pods
                    .values()
                    .filter(|pod| pod.name_any().starts_with(&prefix))
                    .collect();
                (ours.len() == wanted && ours.iter().all(|pod| is_ready(pod))).then_some(())
            });
        if let Err(trouble) = ready.await {
            return Err(self.explain(trouble).await);
        }
        self.world.mark(
            format!("statefulset {}", self.name),
            format!("{replicas} pods Ready"),
        );
        Ok(())
    }

    /// Sets the number of replicas and does not wait.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub async fn scale(&self, replicas: i32) -> CaseResult {
        self.track_claims(replicas);
        let patch = json!({"spec": {"replicas": replicas}});
        let api = self.world.api::<StatefulSet>();
        api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        self.world.mark(
            format!("statefulset {}", self.name),
            format!("scaled to {replicas}"),
        );
        Ok(())
    }

    /// Deletes the set and waits until it and its pods are gone.
    ///
    /// # Errors
    /// Failed when they are not within limit `control-plane`.
    pub async fn delete_and_wait(&self) -> CaseResult {
        let api = self.world.api::<StatefulSet>();
        api.delete(&self.name, &DeleteParams::foreground()).await?;
        let what = format!("set {} is gone", self.name);
        self.world
            .eventually(
                &self.name,
                what,
                Limit::ControlPlane,
                |set: Option<&StatefulSet>| set.is_none().then_some(()),
            )
            .await?;
        self.ready(0).await
    }

    /// A set that does not come up is explained by what its claims wait for.
    async fn explain(&self, mut trouble: Trouble) -> Trouble {
        let claims = self
            .world
            .api::<PersistentVolumeClaim>()
            .list(&ListParams::default())
            .await;
        for claim in claims.into_iter().flatten() {
            let phase = claim
                .status
                .as_ref()
                .and_then(|status| status.phase.clone());
            let phase = phase.unwrap_or_default();
            trouble = trouble.with_evidence(format!("claim {}: {phase}", claim.name_any()));
            if phase != "Bound" {
                trouble = self
                    .world
                    .with_events(trouble, &claim.uid().unwrap_or_default())
                    .await;
            }
        }
        trouble
    }

    pub(crate) fn track_claims(&self, replicas: i32) {
        for template in &self.templates {
            for ordinal in 0..replicas {
                self.world
                    .track_object(Kind::Claim, &self.claim_name(template, ordinal));
            }
        }
    }
}

/// Whether a pod's condition Ready is True.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

//! Headless services and stateful sets of a case.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

pub use super::pods::{IMAGE, is_ready};

use super::World;
use super::claim::Claim;
use super::manifests::typed;
use super::pods::{container, push};
use super::volume::Volume;
use crate::limits::Limit;
use crate::tracker::Kind;
use crate::trouble::{CaseResult, Trouble};

/// A StatefulSet to be created, with its headless service.
pub struct SetBuilder<'w> {
    world: &'w World,
    name: String,
    service: String,
    spec: Value,
    labels: BTreeMap<String, String>,
    hold_ready: bool,
    hold_end: bool,
}

/// A StatefulSet that was created.
pub struct Set<'w> {
    pub(super) world: &'w World,
    /// Its name.
    pub name: String,
    /// The name of its headless service.
    pub service: String,
    templates: Vec<String>,
}

impl World {
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
        let mut container = container();
        container["ports"] = json!([{"name": "web", "containerPort": 80}]);
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
                        "containers": [container],
                    },
                },
                "volumeClaimTemplates": [],
            }),
            labels,
            hold_ready: false,
            hold_end: false,
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

    /// Puts a label on every pod.
    #[must_use]
    pub fn pod_label(mut self, key: &str, value: &str) -> Self {
        self.spec["template"]["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Changes the set's `spec` in a way that has no method of its own.
    #[must_use]
    pub fn spec(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Pods run without being Ready until [`World::release_ready`].
    #[must_use]
    pub fn hold_ready(mut self) -> Self {
        self.hold_ready = true;
        self
    }

    /// Pods that are being deleted stay until [`World::release_end`].
    #[must_use]
    pub fn hold_end(mut self) -> Self {
        self.hold_end = true;
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
            hold_ready,
            hold_end,
        } = self;
        world
            .headless_service(&service, &labels, &[("web", 80)])
            .await?;
        let mut set: StatefulSet = typed(json!({"metadata": {"name": name}, "spec": spec}))?;
        if hold_ready {
            world.hold_ready(&mut set);
        }
        if hold_end {
            world.hold_end(&mut set);
        }
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

    /// Waits until the claims of this ordinal are Bound: how long a volume takes is the subject's
    /// business and has a limit of its own, beside that of the pod which waits for it.
    async fn provided(&self, ordinal: i32) -> CaseResult {
        for template in &self.templates {
            let name = self.claim_name(template, ordinal);
            let what = format!("claim {name} of set {} is there", self.name);
            let made = |claim: Option<&PersistentVolumeClaim>| claim.map(|_| ());
            let made = self.world.eventually(&name, what, Limit::Pod, made);
            made.await?;
            let what = format!("claim {name} of set {} is Bound", self.name);
            let bound = |claim: Option<&PersistentVolumeClaim>| {
                let phase = claim?.status.as_ref()?.phase.as_deref();
                (phase == Some("Bound")).then_some(())
            };
            let bound = self.world.eventually(&name, what, Limit::ClaimBound, bound);
            bound.await?;
        }
        Ok(())
    }

    /// Waits until the pods with ordinals below `replicas` are Ready and no more exist.
    ///
    /// # Errors
    /// Failed when a claim of one is not Bound within limit `claim-bound`, when one is not Ready
    /// within limit `pod`, each counted from its predecessor's readiness, or when more exist after it.
    pub async fn ready(&self, replicas: i32) -> CaseResult {
        for ordinal in 0..replicas {
            if let Err(trouble) = self.provided(ordinal).await {
                return Err(self.explain(trouble).await);
            }
            let name = self.pod(ordinal);
            let what = format!(
                "the set {} has exactly {replicas} Ready pods, and pod {name} is Ready",
                self.name
            );
            let ready = self.world.eventually(&name, what, Limit::Pod, |pod| {
                pod.filter(|pod| is_ready(pod)).map(|_| ())
            });
            if let Err(trouble) = ready.await {
                return Err(self.explain(trouble).await);
            }
        }
        let what = format!("the set {} has exactly {replicas} Ready pods", self.name);
        let prefix = format!("{}-", self.name);
        let wanted = usize::try_from(replicas).unwrap_or_default();
        let ready = self
            .world
            .eventually_all::<Pod, _>(what, Limit::Pod, |pods| {
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
    /// Failed when they are not within limit `pod`.
    pub async fn delete_and_wait(&self) -> CaseResult {
        let api = self.world.api::<StatefulSet>();
        api.delete(&self.name, &DeleteParams::foreground()).await?;
        let what = format!("set {} is gone", self.name);
        self.world
            .eventually(&self.name, what, Limit::Pod, |set: Option<&StatefulSet>| {
                set.is_none().then_some(())
            })
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

//! Pods of a case: the waits for what they come to, and pods that stand by for scripts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::state::NodeInfo;

use super::World;
use super::exec::Output;
use super::manifests::typed;
use crate::limits::Limit;
use crate::tracker::Kind;
use crate::trouble::{CaseResult, Trouble};

/// The image of pods that stand by: every node of a testbed has it.
pub const IMAGE: &str = "busybox";

/// What a pod that stands by does: nothing, and it ends at once when it is asked to. A shell that is
/// process 1 ignores signals it has no trap for.
pub(super) const STAND_BY: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// A pod that stands by for scripts, to be created.
pub struct ShellBuilder<'w> {
    world: &'w World,
    name: String,
    labels: BTreeMap<String, String>,
    spec: Value,
    /// Claims by the position of their volume.
    claims: Vec<String>,
}

/// A pod that stands by for scripts.
pub struct Shell<'w> {
    world: &'w World,
    /// The pod's name.
    pub name: String,
}

/// The container of a pod that stands by.
pub(super) fn container() -> Value {
    json!({
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", STAND_BY],
        "volumeMounts": [],
    })
}

impl World {
    /// A pod of image [`IMAGE`] that stands by for scripts and ends at once when it is deleted.
    pub fn shell(&self, name: &str) -> ShellBuilder<'_> {
        ShellBuilder {
            world: self,
            name: name.to_owned(),
            labels: BTreeMap::new(),
            spec: json!({
                "terminationGracePeriodSeconds": 1,
                "containers": [container()],
                "volumes": [],
            }),
            claims: Vec::new(),
        }
    }

    /// Creates a pod that mounts each of `claims` at `/mnt/<claim>`.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn pod(&self, name: &str, claims: &[&str]) -> CaseResult<Shell<'_>> {
        let shell = claims.iter().fold(self.shell(name), |shell, claim| {
            shell.mount(claim, &format!("/mnt/{claim}"))
        });
        shell.create().await
    }

    /// Creates a pod that was written as YAML, and tracks it.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create_pod(&self, pod: &Pod) -> CaseResult<Pod> {
        let name = pod.name_any();
        self.track_object(Kind::Pod, &name);
        let made = self
            .api::<Pod>()
            .create(&PostParams::default(), pod)
            .await?;
        self.mark(format!("pod {name}"), "created");
        Ok(made)
    }

    /// Waits until a pod is Ready.
    ///
    /// # Errors
    /// Failed, with the pod's events, when it is not within limit `pod`.
    pub async fn pod_ready(&self, name: &str) -> CaseResult<Pod> {
        self.pod_that(name, "Ready", is_ready).await
    }

    /// Waits until a pod is Running and has an address, Ready or not.
    ///
    /// # Errors
    /// As [`World::pod_ready`].
    pub async fn pod_running(&self, name: &str) -> CaseResult<Pod> {
        self.pod_that(name, "Running", |pod| {
            phase(pod) == Some("Running") && address(pod).is_some()
        })
        .await
    }

    /// Waits until a pod is in this phase, such as `Succeeded`.
    ///
    /// # Errors
    /// As [`World::pod_ready`].
    pub async fn pod_in_phase(&self, name: &str, wanted: &str) -> CaseResult<Pod> {
        self.pod_that(name, wanted, |pod| phase(pod) == Some(wanted))
            .await
    }

    /// Waits until there is a pod of this name that `holds` accepts.
    async fn pod_that(
        &self,
        name: &str,
        state: &str,
        holds: impl Fn(&Pod) -> bool,
    ) -> CaseResult<Pod> {
        let what = format!("pod {name} is {state}");
        let reached = self.eventually(name, what, Limit::Pod, |pod| {
            pod.filter(|pod| holds(pod)).cloned()
        });
        match reached.await {
            Ok(pod) => Ok(pod),
            Err(trouble) => {
                let uid = self.api::<Pod>().get_opt(name).await?;
                let uid = uid.and_then(|pod| pod.uid()).unwrap_or_default();
                Err(self.with_events(trouble, &uid).await)
            }
        }
    }

    /// Waits until a pod of this name is Ready that is not the one with `uid`.
    ///
    /// # Errors
    /// As [`World::pod_ready`].
    pub async fn pod_back(&self, name: &str, uid: &str) -> CaseResult<Pod> {
        self.pod_that(name, "back and Ready", |pod| {
            pod.uid().as_deref() != Some(uid) && is_ready(pod)
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
    /// Failed when there is one after limit `pod`.
    pub async fn pod_gone(&self, name: &str) -> CaseResult {
        let what = format!("pod {name} is gone");
        self.eventually(name, what, Limit::Pod, |pod: Option<&Pod>| {
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
}

impl<'w> ShellBuilder<'w> {
    /// Mounts `claim` at `path`. A claim can be mounted several times.
    #[must_use]
    pub fn mount(self, claim: &str, path: &str) -> Self {
        self.mounted(claim, json!({"mountPath": path}))
    }

    /// Mounts `claim` at `path`, without the right to write.
    #[must_use]
    pub fn mount_read_only(self, claim: &str, path: &str) -> Self {
        self.mounted(claim, json!({"mountPath": path, "readOnly": true}))
    }

    /// Mounts what is at `sub` in `claim` at `path`; the kubelet makes a missing directory.
    #[must_use]
    pub fn mount_sub_path(self, claim: &str, path: &str, sub: &str) -> Self {
        self.mounted(claim, json!({"mountPath": path, "subPath": sub}))
    }

    fn mounted(mut self, claim: &str, mut mount: Value) -> Self {
        let known = self.claims.iter().position(|known| known == claim);
        let at = known.unwrap_or_else(|| {
            self.claims.push(claim.to_owned());
            self.claims.len() - 1
        });
        // A claim's name may be longer than a volume's.
        let volume = format!("claim-{at}");
        if known.is_none() {
            push(
                &mut self.spec["volumes"],
                json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}),
            );
        }
        mount["name"] = json!(volume);
        push(&mut self.spec["containers"][0]["volumeMounts"], mount);
        self
    }

    /// Runs the pod on this node; the scheduler still places it.
    #[must_use]
    pub fn node(mut self, node: &NodeInfo) -> Self {
        self.spec["nodeSelector"] = json!({"kubernetes.io/hostname": node.name});
        self
    }

    /// Runs the pod as this user and group.
    #[must_use]
    pub fn user(mut self, uid: i64, gid: i64) -> Self {
        self.spec["securityContext"]["runAsUser"] = json!(uid);
        self.spec["securityContext"]["runAsGroup"] = json!(gid);
        self
    }

    /// Sets the pod's `fsGroup`.
    #[must_use]
    pub fn fs_group(mut self, gid: i64) -> Self {
        self.spec["securityContext"]["fsGroup"] = json!(gid);
        self
    }

    /// Runs the pod with these groups besides its own.
    #[must_use]
    pub fn supplemental_groups(mut self, gids: &[i64]) -> Self {
        self.spec["securityContext"]["supplementalGroups"] = json!(gids);
        self
    }

    /// Sets one label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Changes the pod's `spec` in a way that has no method of its own.
    #[must_use]
    pub fn spec(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Creates the pod and does not wait.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create(self) -> CaseResult<Shell<'w>> {
        let pod: Pod = typed(json!({
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": self.spec,
        }))?;
        self.world.create_pod(&pod).await?;
        Ok(Shell {
            world: self.world,
            name: self.name,
        })
    }
}

impl Shell<'_> {
    /// Waits until the pod is Ready, which it is once its volumes are mounted.
    ///
    /// # Errors
    /// As [`World::pod_ready`].
    pub async fn ready(&self) -> CaseResult<Pod> {
        self.world.pod_ready(&self.name).await
    }

    /// Runs `script` by `sh -c` and gives its standard output, without white space at its end.
    ///
    /// # Errors
    /// As [`World::run_in`].
    pub async fn run(&self, script: &str) -> CaseResult<String> {
        self.world.run_in(&self.name, script).await
    }

    /// Runs a script that may fail.
    ///
    /// # Errors
    /// As [`World::output_in`].
    pub async fn output(&self, script: &str) -> CaseResult<Output> {
        self.world.output_in(&self.name, script).await
    }

    /// The pod as it is now.
    ///
    /// # Errors
    /// Failed when it is gone.
    pub async fn now(&self) -> CaseResult<Pod> {
        let pod = self.world.api::<Pod>().get_opt(&self.name).await?;
        let expected = format!("pod {} is there", self.name);
        pod.ok_or_else(|| Trouble::failed(expected, "it is gone"))
    }

    /// Name of the node that the pod was placed on.
    ///
    /// # Errors
    /// Failed when the pod is gone or not placed.
    pub async fn node_name(&self) -> CaseResult<String> {
        let node = self.now().await?.spec.and_then(|spec| spec.node_name);
        let expected = format!("pod {} is placed on a node", self.name);
        node.ok_or_else(|| Trouble::failed(expected, "it is on none"))
    }

    /// Deletes the pod and waits until it is gone: its volumes are unmounted then, or about to be.
    ///
    /// # Errors
    /// As [`World::pod_gone`].
    pub async fn delete(&self) -> CaseResult {
        self.world.delete_pod(&self.name).await?;
        self.world.pod_gone(&self.name).await
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

/// The pod's address, once it has one.
pub fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

pub(super) fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

//! Holding pods: unready while they run, or there while they end, until a case lets them go.
//!
//! The end of a pod is held by a finalizer, on any node. Readiness is held by a label that simulated
//! nodes honour, and on real nodes by a readiness gate (KEP-580), a condition of the pod that the
//! case sets. The clean-up takes the finalizers off whatever became of the case.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, PodReadinessGate};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use testbed::kind::HOLD_READY;

use super::World;
use crate::trouble::{CaseResult, Trouble};

/// The finalizer of pods whose end is held.
pub(super) const HELD_END: &str = "claimcheck.dev/held";
/// The condition that pods on real nodes need to be Ready, where readiness is held.
const GATE: &str = "claimcheck.dev/released";

impl World {
    /// Makes the pods of `set`, which is not created yet, run without being Ready until
    /// [`World::release_ready`].
    pub fn hold_ready(&self, set: &mut StatefulSet) {
        let spec = set.spec.get_or_insert_default();
        if self.real_nodes() {
            let gates = spec.template.spec.get_or_insert_default();
            gates
                .readiness_gates
                .get_or_insert_default()
                .push(PodReadinessGate {
                    condition_type: GATE.to_owned(),
                });
        } else {
            let metadata = spec.template.metadata.get_or_insert_default();
            let labels = metadata.labels.get_or_insert_default();
            labels.insert(HOLD_READY.to_owned(), "true".to_owned());
        }
    }

    /// Makes the pods of `set`, which is not created yet, stay while they are being deleted, until
    /// [`World::release_end`].
    pub fn hold_end(&self, set: &mut StatefulSet) {
        let spec = set.spec.get_or_insert_default();
        let metadata = spec.template.metadata.get_or_insert_default();
        let finalizers = metadata.finalizers.get_or_insert_default();
        finalizers.push(HELD_END.to_owned());
    }

    /// Lets a pod whose readiness was held become Ready.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub async fn release_ready(&self, pod: &str) -> CaseResult {
        self.set_held(pod, false).await?;
        self.mark(format!("pod {pod}"), "may be Ready");
        Ok(())
    }

    /// Makes a pod that was held unready, and was released, unready again.
    ///
    /// # Errors
    /// As [`World::release_ready`].
    pub async fn hold_ready_again(&self, pod: &str) -> CaseResult {
        self.set_held(pod, true).await?;
        self.mark(format!("pod {pod}"), "is to be unready");
        Ok(())
    }

    async fn set_held(&self, pod: &str, held: bool) -> CaseResult {
        let params = PatchParams::default();
        if self.real_nodes() {
            let status = if held { "False" } else { "True" };
            let condition = json!({
                "type": GATE,
                "status": status,
                "lastTransitionTime": Timestamp::now().to_string(),
            });
            // Merged by type: the kubelet's own conditions stay.
            let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
            self.api::<Pod>().patch_status(pod, &params, &patch).await?;
        } else {
            let label = held.then_some("true");
            let patch = Patch::Merge(json!({"metadata": {"labels": {HOLD_READY: label}}}));
            self.api::<Pod>().patch(pod, &params, &patch).await?;
        }
        Ok(())
    }

    /// Lets a pod whose end was held go.
    ///
    /// # Errors
    /// Failed when the pod is gone already, held or not; inconclusive when the API refuses.
    pub async fn release_end(&self, pod: &str) -> CaseResult {
        let api = self.api::<Pod>();
        let held = api.get_opt(pod).await?.is_some_and(|pod| is_held(&pod));
        if !held {
            return Err(Trouble::failed(
                format!("pod {pod}, whose end is held by a finalizer, is there"),
                "it is gone, or nothing holds it",
            ));
        }
        release(&api, pod).await?;
        self.mark(format!("pod {pod}"), "may go");
        Ok(())
    }
}

/// Whether the pod's end is held.
pub(super) fn is_held(pod: &Pod) -> bool {
    pod.finalizers()
        .iter()
        .any(|finalizer| finalizer == HELD_END)
}

/// Takes the finalizers off a pod of a case; a pod that is gone needs none taken.
pub(super) async fn release(pods: &Api<Pod>, pod: &str) -> CaseResult {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    match pods.patch(pod, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => Ok(answer.map(drop)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pod_is_held_by_our_finalizer_and_by_no_other() {
        let held = json!({"metadata": {"finalizers": ["example.org/other", HELD_END]}});
        assert!(is_held(&pod(held)));
        let other = json!({"metadata": {"finalizers": ["example.org/other"]}});
        assert!(!is_held(&pod(other)));
        assert!(!is_held(&pod(json!({"metadata": {}}))));
    }
}

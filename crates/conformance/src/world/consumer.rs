//! Pods that stand in for the user of a claim, for subjects whose classes wait for the first
//! consumer: such a class gives no volume before a pod uses the claim.
//!
//! A case that varies the subject's class gets its binding mode as well, and every claim on it a pod
//! of its own when it is made. Once the claim is Bound the pod goes again: from then on everything is
//! as with an immediate class, and nothing holds the claim. A case that sets the mode by itself makes
//! its pods by itself.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use testbed::subject::VolumeBindingMode;
use tokio::sync::Mutex;

use super::World;
use crate::trouble::CaseResult;

/// Annotation of classes whose claims get a pod: those that wait because the subject's class does.
pub(super) const STANDS_IN: &str = "claimcheck.dev/consumer-stands-in";

/// What became of a claim's pod.
#[derive(Debug, Default)]
pub(super) struct Consumer(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// There was none so far.
    #[default]
    None,
    /// It stands, under this name.
    Stands(String),
    /// It went, or is not to come.
    Over,
}

impl Consumer {
    /// That of a claim which somebody else made, such as a StatefulSet, whose pods use it.
    pub(super) fn of_others() -> Self {
        Self(Mutex::new(State::Over))
    }
}

impl World {
    /// Makes the pod of `claim`, if its class waits for one and there was none yet.
    pub(super) async fn stand_in(
        &self,
        claim: &PersistentVolumeClaim,
        consumer: &Consumer,
    ) -> CaseResult {
        if self.subject().class.binding_mode != VolumeBindingMode::WaitForFirstConsumer {
            return Ok(());
        }
        let mut state = consumer.0.lock().await;
        if !matches!(*state, State::None) || !self.waits(claim).await? {
            return Ok(());
        }
        let name = format!("consumer-{}", claim.uid().unwrap_or_default());
        let shell = self.shell(&name).mount(&claim.name_any(), "/mnt");
        shell.create().await?;
        *state = State::Stands(name);
        Ok(())
    }

    /// Takes the pod away, and waits until it is gone.
    pub(super) async fn stand_down(&self, consumer: &Consumer) -> CaseResult {
        let mut state = consumer.0.lock().await;
        let before = std::mem::replace(&mut *state, State::Over);
        let State::Stands(name) = before else {
            return Ok(());
        };
        match self.delete_pod(&name).await {
            // Without its namespace, for instance.
            Err(_) if self.pod_is_gone(&name).await? => return Ok(()),
            deleted => deleted?,
        }
        self.pod_gone(&name).await
    }

    async fn pod_is_gone(&self, name: &str) -> CaseResult<bool> {
        let pods = self.api::<k8s_openapi::api::core::v1::Pod>();
        Ok(pods.get_opt(name).await?.is_none())
    }

    /// Whether the claim's class, as far as one is known, is one that waits. A claim without a class
    /// may get such a one later.
    async fn waits(&self, claim: &PersistentVolumeClaim) -> CaseResult<bool> {
        let Some(class) = class_name(claim) else {
            return Ok(true);
        };
        if class.is_empty() {
            return Ok(false);
        }
        let class = self.cluster_api::<StorageClass>().get_opt(class).await?;
        Ok(class.is_some_and(|class| class.annotations().contains_key(STANDS_IN)))
    }
}

/// The name of a claim's class; the old annotation outweighs the field, as in the API.
fn class_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let beta = claim
        .annotations()
        .get("volume.beta.kubernetes.io/storage-class");
    beta.or_else(|| claim.spec.as_ref()?.storage_class_name.as_ref())
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claims_class_is_told_by_the_old_annotation_first_and_may_be_unknown() {
        let claim = |claim| serde_json::from_value(claim).unwrap();
        let both: PersistentVolumeClaim = claim(json!({
            "metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
            "spec": {"storageClassName": "new"},
        }));
        assert_eq!(class_name(&both), Some("old"));
        let field = claim(json!({"spec": {"storageClassName": ""}}));
        assert_eq!(class_name(&field), Some(""));
        assert_eq!(class_name(&claim(json!({"spec": {}}))), None);
    }
}

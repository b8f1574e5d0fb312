//! Holds one volume object: while it is held, the API server refuses every deletion of it.
//!
//! Whoever removes the directory first and the volume object after it gets as far as the
//! directory; whoever does it the other way round gets nowhere. That shows the order without a
//! race. Made of a `ValidatingAdmissionPolicy` (admissionregistration.k8s.io/v1, KEP-3488) that
//! matches this one name, owned by the case's namespace, with which it goes in any event.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, timeout_at};

use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;

/// How often the API server is asked whether it knows the policy: nothing can be watched for that.
const POLL: Duration = Duration::from_millis(50);

/// What the API server answers to a refused deletion.
const REFUSAL: &str = "this volume is held by a conformance case";

/// A held volume.
pub(super) struct Hold<'w> {
    world: &'w World,
    name: String,
}

impl<'w> Hold<'w> {
    /// Holds the volume `volume`; when this returns, its deletion is refused.
    ///
    /// # Errors
    /// Inconclusive when the API server does not come to refuse it within limit `control-plane`.
    pub(super) async fn on(world: &'w World, volume: &str) -> CaseResult<Self> {
        let name = world.unique("hold");
        let namespace = world
            .cluster_api::<Namespace>()
            .get(world.namespace())
            .await?;
        let metadata = json!({
            "name": name,
            "ownerReferences": [{
                "apiVersion": "v1",
                "kind": "Namespace",
                "name": namespace.name_any(),
                "uid": namespace.uid(),
            }],
        });
        let policy: ValidatingAdmissionPolicy = typed(json!({
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["DELETE"],
                    "resources": ["persistentvolumes"],
                    "resourceNames": [volume],
                }]},
                "validations": [{"expression": "false", "message": REFUSAL}],
            },
        }))?;
        let binding: ValidatingAdmissionPolicyBinding = typed(json!({
            "metadata": metadata,
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }))?;
        world
            .cluster_api()
            .create(&PostParams::default(), &policy)
            .await?;
        world
            .cluster_api()
            .create(&PostParams::default(), &binding)
            .await?;
        let hold = Self { world, name };
        match hold.refuses(volume).await {
            Ok(()) => Ok(hold),
            Err(trouble) => hold.release().await.and(Err(trouble)),
        }
    }

    /// Ends the hold; the API server knows it a moment later.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub(super) async fn release(self) -> CaseResult {
        let params = DeleteParams::default();
        let bindings = self.world.cluster_api::<ValidatingAdmissionPolicyBinding>();
        bindings.delete(&self.name, &params).await?;
        let policies = self.world.cluster_api::<ValidatingAdmissionPolicy>();
        policies.delete(&self.name, &params).await?;
        self.world.mark("volume", "may be deleted again");
        Ok(())
    }

    /// Asks with deletions that are not carried out until one is refused by the policy.
    async fn refuses(&self, volume: &str) -> CaseResult {
        let volumes = self.world.cluster_api::<PersistentVolume>();
        let trial = DeleteParams {
            dry_run: true,
            ..DeleteParams::default()
        };
        let deadline = Instant::now() + self.world.limit(Limit::ControlPlane);
        let mut ticks = interval(POLL);
        let asking = async {
            loop {
                ticks.tick().await;
                match volumes.delete(volume, &trial).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.message.contains(REFUSAL) => {
                        return CaseResult::Ok(());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        timeout_at(deadline, asking).await.unwrap_or_else(|_| {
            Err(Trouble::inconclusive(
                "the API server never came to refuse the volume's deletion",
            ))
        })?;
        self.world
            .mark("volume", "its deletion is refused from now on");
        Ok(())
    }
}

fn typed<K: DeserializeOwned>(value: Value) -> CaseResult<K> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::inconclusive(format!("an object of the suite is malformed: {error}"))
    })
}

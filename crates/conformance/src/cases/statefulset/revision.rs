//! Revisions of a set's pods: which template each was made from.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::workload::{Set, is_ready};

/// The label by which the controller tells a pod's revision (apps/v1,
/// `StatefulSetRevisionLabel`).
const LABEL: &str = "controller-revision-hash";
/// An annotation of the template that says nothing: a change of it is a change of the template.
const ROUND: &str = "claimcheck.dev/round";

/// The revision that a pod was made from.
pub(super) fn revision_of(pod: &Pod) -> CaseResult<String> {
    let revision = pod.labels().get(LABEL).cloned();
    revision.ok_or_else(|| {
        Trouble::failed(
            format!("pod {} has a label {LABEL}", pod.name_any()),
            format!("its labels are {:?}", pod.labels()),
        )
    })
}

/// Changes the set's template, and gives the revision that new pods are to have.
///
/// # Errors
/// Failed when the controller makes no new revision within limit `control-plane`.
pub(super) async fn change_template(
    world: &World,
    set: &Set<'_>,
    round: &str,
) -> CaseResult<String> {
    let api = world.api::<StatefulSet>();
    let before = api.get(&set.name).await?.status;
    let before = before.and_then(|status| status.update_revision);
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {ROUND: round}}}}});
    api.patch(&set.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    world.mark(format!("statefulset {}", set.name), "template changed");
    let what = format!("set {} has another revision than {before:?}", set.name);
    let revised = |set: Option<&StatefulSet>| {
        let revision = set?.status.as_ref()?.update_revision.clone();
        revision.filter(|revision| Some(revision) != before.as_ref())
    };
    world
        .eventually(&set.name, what, Limit::ControlPlane, revised)
        .await
}

/// Waits until all of the set's pods are Ready and of `revision`, and the set says so.
///
/// # Errors
/// Failed when they are not within limit `pod` for each.
pub(super) async fn all_updated(
    world: &World,
    set: &Set<'_>,
    replicas: i32,
    revision: &str,
) -> CaseResult {
    // The last to be replaced is the first by ordinal.
    for ordinal in (0..replicas).rev() {
        let name = set.pod(ordinal);
        let what = format!("pod {name} is Ready and of revision {revision}");
        let updated = world.eventually(&name, what, Limit::Pod, |pod: Option<&Pod>| {
            let pod = pod.filter(|pod| is_ready(pod))?;
            let labelled = pod.labels().get(LABEL).map(String::as_str);
            (labelled == Some(revision)).then_some(())
        });
        updated.await?;
    }
    let what = format!("set {} says that all pods are updated and Ready", set.name);
    let says = |set: Option<&StatefulSet>| {
        let status = set?.status.as_ref()?;
        let done = status.updated_replicas == Some(replicas)
            && status.ready_replicas == Some(replicas)
            && status.current_revision == status.update_revision;
        done.then_some(())
    };
    world
        .eventually(&set.name, what, Limit::ControlPlane, says)
        .await
}

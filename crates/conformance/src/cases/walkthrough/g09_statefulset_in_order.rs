//! Source: walkthrough step 9; Kubernetes documentation, StatefulSet, "Deployment and Scaling
//! Guarantees".

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{REPLICAS, SET, class, pod_exists, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::workload::is_ready;

/// The set's pods MUST start in the order of their ordinals, each only after its predecessor is
/// Running and Ready.
pub(crate) const CASE: Case = Case::step("G09", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "nfs").await?;
    let pods = world.record::<Pod>().await?;
    let set = start_set(world, SET, true).await?;
    for ordinal in 0..REPLICAS {
        let name = set.pod(ordinal);
        pod_exists(world, &name).await?;
        world.pod_running(&name).await?;
        // While the pod is held unready, a claim is provisioned and bound: the control plane works.
        let control = format!("while-{ordinal}-is-unready");
        world
            .control_named(&control, &class)
            .await?
            .existing_directory()
            .await?;
        let next = world.api::<Pod>().get_opt(&set.pod(ordinal + 1)).await?;
        ensure(
            next.is_none(),
            format!("no pod follows {name} while it is unready"),
            || format!("pod {} exists", set.pod(ordinal + 1)),
        )?;
        world.release_ready(&name).await?;
        world.pod_ready(&name).await?;
    }
    set.ready(REPLICAS).await?;

    pods.complete()?;
    let mut order = Vec::new();
    for change in pods.changes().into_iter().filter(|change| !change.gone) {
        let name = change.object.name_any();
        if name.starts_with("web-") && is_ready(&change.object) && !order.contains(&name) {
            order.push(name);
        }
    }
    ensure_eq(
        "the order in which pods became Ready",
        &order,
        &["web-0", "web-1", "web-2"],
    )
}

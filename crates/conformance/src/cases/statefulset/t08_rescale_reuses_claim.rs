//! Source: Kubernetes documentation, `StatefulSet`, "Stable Storage"; KEP-1847 (claims are retained
//! unless the set says otherwise).

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// Scaling down and up again MUST use the same claim with the same data.
pub(crate) const CASE: Case = Case::new("T08", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(2)
        .template("data", &class)
        .create()
        .await?;
    set.served("data").await?;
    set.ready(2).await?;
    set.mounted("data", 2).await?;
    let claim = set.claim("data", 1).await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let content = world.fill(&directory).await?;
    let first = world.api::<Pod>().get(&set.pod(1)).await?;

    set.scale(1).await?;
    set.ready(1).await?;
    // A claim served meanwhile: the control plane had its time to take the other one away.
    world.control(&class).await?.existing_directory().await?;
    let kept = set.claim("data", 1).await?;
    ensure_eq("the UID of the kept claim", &kept.uid(), &claim.uid())?;
    let ending = kept.object.metadata.deletion_timestamp.is_some();
    ensure(!ending, "the claim without a pod stays", || {
        "it is being deleted".to_owned()
    })?;
    world.unchanged(&directory, &content).await?;

    set.scale(2).await?;
    set.ready(2).await?;
    let second = world.api::<Pod>().get(&set.pod(1)).await?;
    ensure(
        first.uid() != second.uid(),
        "pod web-1 is a new one",
        || "it never went".to_owned(),
    )?;
    let again = set.claim("data", 1).await?;
    ensure_eq(
        "the UID of the claim used again",
        &again.uid(),
        &claim.uid(),
    )?;
    let volume_again = again.bound().await?;
    ensure_eq("its volume", &volume_again.name(), &volume.name())?;
    ensure_eq("its directory", &volume_again.directory()?, &directory)?;
    world.unchanged(&directory, &content).await?;
    if world.real_nodes() {
        world
            .same_in_pod(&set.pod(1), "/mnt/data", &directory)
            .await?;
    }
    set.mounted("data", 2).await
}

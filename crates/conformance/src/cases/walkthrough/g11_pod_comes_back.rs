//! Source: walkthrough step 11; Kubernetes documentation, StatefulSet, "Pod Identity".

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{PAGES, REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::dns::Record;
use crate::world::pods::address;

/// A deleted pod MUST return with its name, its name's new address and its old data.
pub(crate) const CASE: Case = Case::step("G11", |world| Box::pin(run(world)));

/// The pod that is deleted: neither the first nor the last.
const ORDINAL: i32 = 1;

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    let volumes = own_volumes(world, &set, REPLICAS).await?;
    let pod = set.pod(ORDINAL);
    let claim = set.claim("www", ORDINAL).await?;
    let name = world.service_name(&format!("{pod}.{}", set.service));
    let directory = own_directory(&volumes)?;
    world
        .pod_writes(&pod, PAGES, &directory, "index.html")
        .await?;
    let content = world.manifest(&directory).await?;
    let first = world.pod_ready(&pod).await?;
    world
        .resolves_to(&name, Record::A, &address_set(&first)?)
        .await?;

    world.delete_pod(&pod).await?;
    let uid = first.uid().unwrap_or_default();
    let second = world.pod_back(&pod, &uid).await?;
    // Exactly the new address: the old one is not answered any more.
    world
        .resolves_to(&name, Record::A, &address_set(&second)?)
        .await?;
    ensure_eq(
        "the host name of the pod that came back",
        &world.run_in(&pod, "cat /etc/hostname").await?,
        &pod,
    )?;
    let again = set.claim("www", ORDINAL).await?;
    ensure_eq("the UID of its claim", &again.uid(), &claim.uid())?;
    world.same_in_pod(&pod, PAGES, &directory).await?;
    world.unchanged(&directory, &content).await?;
    set.ready(REPLICAS).await
}

fn own_directory(volumes: &[crate::world::volume::Volume<'_>]) -> CaseResult<String> {
    let own = usize::try_from(ORDINAL).ok().and_then(|at| volumes.get(at));
    own.ok_or_else(|| Trouble::inconclusive("the set has fewer volumes than pods"))?
        .directory()
}

fn address_set(pod: &Pod) -> CaseResult<BTreeSet<String>> {
    let address = address(pod).map(str::to_owned);
    let address = address
        .ok_or_else(|| Trouble::inconclusive(format!("pod {} has no address", pod.name_any())))?;
    Ok(BTreeSet::from([address]))
}

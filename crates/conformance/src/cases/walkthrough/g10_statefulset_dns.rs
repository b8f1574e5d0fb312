//! Source: walkthrough step 10; DNS-based service discovery 1.1.0, section 2.4.1.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::Api;

use super::{REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::dns::Record;
use crate::world::pods::Shell;

/// `web-N.nginx-svc` MUST be exactly the address of pod `web-N`.
pub(crate) const CASE: Case = Case::step("G10", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    own_volumes(world, &set, REPLICAS).await?;

    let inside = inside(world).await?;
    let mut all = BTreeSet::new();
    for ordinal in 0..REPLICAS {
        let pod = world.api::<Pod>().get(&set.pod(ordinal)).await?;
        let address = pod
            .status
            .and_then(|status| status.pod_ip)
            .unwrap_or_default();
        let name = world.service_name(&format!("{}.nginx-svc", set.pod(ordinal)));
        ensure_eq(
            "the name asked for",
            &name,
            &format!("web-{ordinal}.nginx-svc.default.svc.{}", world.zone()),
        )?;
        let only = BTreeSet::from([address.clone()]);
        world.resolves_to(&name, Record::A, &only).await?;
        if let Some((asker, server)) = &inside {
            world
                .resolves_inside(&asker.name, server, &name, &only)
                .await?;
        }
        all.insert(address);
    }
    let service = world.service_name("nginx-svc");
    world.resolves_to(&service, Record::A, &all).await?;
    match &inside {
        Some((asker, server)) => {
            world
                .resolves_inside(&asker.name, server, &service, &all)
                .await
        }
        None => Ok(()),
    }
}

/// On real nodes a pod that asks, and the address that the cluster's DNS has for pods: 10.96.0.10
/// where nothing else is configured.
async fn inside(world: &World) -> CaseResult<Option<(Shell<'_>, String)>> {
    if !world.real_nodes() {
        return Ok(None);
    }
    let services: Api<Service> = Api::namespaced(world.client(), "kube-system");
    let service = services.get("kube-dns").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    let address = address.ok_or_else(|| Trouble::inconclusive("kube-dns has no address"))?;
    let asker = world.shell("asker").create().await?;
    asker.ready().await?;
    Ok(Some((asker, address)))
}

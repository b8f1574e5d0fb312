//! Source: walkthrough step 10; DNS-based service discovery 1.1.0, section 2.4.1.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use super::{REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;
use crate::world::dns::Record;

/// `web-N.nginx-svc` MUST be exactly the address of pod `web-N`.
pub(crate) const CASE: Case = Case::step("G10", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    own_volumes(world, &set, REPLICAS).await?;

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
        world
            .resolves_to(&name, Record::A, &BTreeSet::from([address.clone()]))
            .await?;
        all.insert(address);
    }
    world
        .resolves_to(&world.service_name("nginx-svc"), Record::A, &all)
        .await
}

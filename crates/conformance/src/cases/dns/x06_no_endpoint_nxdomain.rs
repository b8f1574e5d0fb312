//! Source: DNS-based service discovery 1.1.0, section 2.4.1 (no ready endpoint: NXDOMAIN).

use super::{address_of, listed_unready, only, running_set};
use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::dns::Record;

/// The name of a headless service without a ready endpoint SHOULD be answered with NXDOMAIN.
pub(crate) const CASE: Case = Case::new("X06", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("held").create().await?;
    let held = world
        .statefulset("held")
        .template("data", &class)
        .hold_ready();
    let held = held.create().await?;
    held.served("data").await?;
    let pod = world.pod_running(&held.pod(0)).await?;
    held.volumes("data", 1).await?;
    let address = address_of(&pod)?;
    listed_unready(world, &held.service, &address).await?;

    // Endpoints made later are served: the server has seen those of the held set too.
    let set = running_set(world, "web", 1).await?;
    let ready = address_of(&world.pod_ready(&set.pod(0)).await?)?;
    world
        .resolves_to(&world.service_name(&set.service), Record::A, &only(&ready))
        .await?;
    let name = world.service_name(&held.service);
    world.does_not_exist(&name, Record::A).await?;

    world.release_ready(&held.pod(0)).await?;
    world.resolves_to(&name, Record::A, &only(&address)).await
}

//! Source: DNS-based service discovery 1.1.0, section 2.4.1 (records are those of ready endpoints).

use super::{address_of, listed_unready, only, pod_name};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::dns::{Record, Transport};

/// An unready pod MUST be absent from its service's records, and appear soon after it is Ready.
pub(crate) const CASE: Case = Case::new("X07", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(2)
        .parallel()
        .template("data", &class);
    let set = set.hold_ready().create().await?;
    set.served("data").await?;
    let mut addresses = Vec::new();
    for ordinal in 0..2 {
        let address = address_of(&world.pod_running(&set.pod(ordinal)).await?)?;
        listed_unready(world, &set.service, &address).await?;
        addresses.push(address);
    }
    set.volumes("data", 2).await?;

    // Pod 1 becomes Ready and is served; pod 0, known for longer, is not.
    let service = world.service_name(&set.service);
    world.release_ready(&set.pod(1)).await?;
    world.pod_ready(&set.pod(1)).await?;
    world
        .resolves_to(&pod_name(world, &set, 1), Record::A, &only(&addresses[1]))
        .await?;
    world
        .resolves_to(&service, Record::A, &only(&addresses[1]))
        .await?;
    let absent = pod_name(world, &set, 0);
    for transport in [Transport::Udp, Transport::Tcp] {
        let answer = world.ask(&absent, Record::A, transport).await?;
        ensure(
            answer.records.is_empty(),
            format!("unready {absent} has no address"),
            || format!("over {transport:?} it has {:?}", answer.records),
        )?;
    }

    world.release_ready(&set.pod(0)).await?;
    world.pod_ready(&set.pod(0)).await?;
    world
        .resolves_to(&absent, Record::A, &only(&addresses[0]))
        .await?;
    world
        .resolves_to(&service, Record::A, &addresses.into_iter().collect())
        .await
}

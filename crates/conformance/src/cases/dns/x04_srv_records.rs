//! Source: DNS-based service discovery 1.1.0, section 2.4.2.

use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{addresses, pod_name, running_set};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::dns::{Record, Transport};

/// Each named port of a headless service MUST have one SRV record per ready endpoint, with its port
/// and name; an unnamed port none.
pub(crate) const CASE: Case = Case::new("X04", |world| Box::pin(run(world)));

const REPLICAS: i32 = 2;
const PORTS: &[(&str, u16)] = &[("web", 80), ("metrics", 9090)];

async fn run(world: &World) -> CaseResult {
    let set = running_set(world, "web", REPLICAS).await?;
    let ports: Vec<_> = PORTS
        .iter()
        .map(|(name, port)| json!({"name": name, "port": port}))
        .collect();
    let patch = Patch::Merge(json!({"spec": {"ports": ports}}));
    world
        .api::<Service>()
        .patch(&set.service, &PatchParams::default(), &patch)
        .await?;
    for (name, port) in PORTS {
        let name = format!("_{name}._tcp.{}", world.service_name(&set.service));
        let due = (0..REPLICAS).map(|ordinal| format!("{port} {}", pod_name(world, &set, ordinal)));
        world.serves(&name, &due.collect()).await?;
    }

    let selector = [("app".to_owned(), set.name.clone())].into();
    world
        .headless_service("unnamed", &selector, &[("", 80)])
        .await?;
    let service = world.service_name("unnamed");
    // The server knows the service and its endpoints when it answers for the addresses.
    let all = addresses(world, &set, REPLICAS)
        .await?
        .into_iter()
        .collect();
    world.resolves_to(&service, Record::A, &all).await?;
    for label in ["_80._tcp", "_web._tcp", "_tcp._tcp"] {
        let name = format!("{label}.{service}");
        for transport in [Transport::Udp, Transport::Tcp] {
            let answer = world.ask(&name, Record::Srv, transport).await?;
            ensure(
                answer.records.is_empty(),
                format!("there is no SRV record of {name}"),
                || format!("over {transport:?} there are {:?}", answer.records),
            )?;
        }
    }
    Ok(())
}

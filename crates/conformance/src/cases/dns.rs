//! DNS of headless services: whole record sets, over UDP and TCP.
//!
//! Every set has a claim template on the subject's class: without it there are no pods to be found.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::workload::Set;

mod stub;
mod x01_headless_a_set;
mod x02_pod_name_a;
mod x04_srv_records;
mod x06_no_endpoint_nxdomain;
mod x07_unready_absent;
mod x11_search_path;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    x01_headless_a_set::CASE,
    x02_pod_name_a::CASE,
    x04_srv_records::CASE,
    x06_no_endpoint_nxdomain::CASE,
    x07_unready_absent::CASE,
    x11_search_path::CASE,
];

/// A set of `replicas` pods that came up, each with its volume.
async fn running_set<'w>(world: &'w World, name: &str, replicas: i32) -> CaseResult<Set<'w>> {
    let class = world.class(name).create().await?;
    let set = world
        .statefulset(name)
        .replicas(replicas)
        .parallel()
        .template("data", &class);
    let set = set.create().await?;
    set.served("data").await?;
    set.ready(replicas).await?;
    set.volumes("data", replicas).await?;
    Ok(set)
}

/// The address of a pod.
fn address_of(pod: &Pod) -> CaseResult<String> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    address.ok_or_else(|| Trouble::inconclusive(format!("pod {} has no address", pod.name_any())))
}

/// The addresses of the set's pods with ordinals below `replicas`, by ordinal.
async fn addresses(world: &World, set: &Set<'_>, replicas: i32) -> CaseResult<Vec<String>> {
    let mut addresses = Vec::new();
    for ordinal in 0..replicas {
        addresses.push(address_of(
            &world.api::<Pod>().get(&set.pod(ordinal)).await?,
        )?);
    }
    Ok(addresses)
}

/// The full name of a pod of the set.
fn pod_name(world: &World, set: &Set<'_>, ordinal: i32) -> String {
    world.service_name(&format!("{}.{}", set.pod(ordinal), set.service))
}

fn only(address: &str) -> BTreeSet<String> {
    BTreeSet::from([address.to_owned()])
}

/// Waits until `address` stands among the endpoints of `service` as not ready: from then on a
/// server may know of it, and has to leave it out.
async fn listed_unready(world: &World, service: &str, address: &str) -> CaseResult {
    let what = format!("{address} is an endpoint of service {service} that is not ready");
    world
        .eventually_all::<EndpointSlice, _>(what, Limit::ControlPlane, |slices| {
            let of_service = slices.values().filter(|slice| {
                slice
                    .labels()
                    .get("kubernetes.io/service-name")
                    .is_some_and(|name| name == service)
            });
            let mut endpoints = of_service.flat_map(|slice| slice.endpoints.iter().flatten());
            let found = endpoints.any(|endpoint| {
                let ready = endpoint
                    .conditions
                    .as_ref()
                    .and_then(|conditions| conditions.ready);
                endpoint.addresses.iter().any(|listed| listed == address) && ready == Some(false)
            });
            found.then_some(())
        })
        .await
}

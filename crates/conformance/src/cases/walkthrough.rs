//! The walkthrough: the teaching scenario, a case for each step. Each builds its own preconditions
//! from `fixtures/walkthrough/` in namespace `default`, one at a time.
//!
//! Steps 3, 11 and 13 need pods that really mount their volumes.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;
use crate::world::workload::Set;

mod g01_rights_and_ready;
mod g02_beta_annotation_claim;
mod g03_pod_writes_success;
mod g04_delete_without_archive;
mod g05_delete_with_archive;
mod g06_second_claim_apart;
mod g07_no_default_class;
mod g08_default_class;
mod g09_statefulset_in_order;
mod g10_statefulset_dns;
mod g11_pod_comes_back;
mod g12_statefulset_claims;
mod g13_pages_from_volumes;
mod g14_scaling_four_ways;
mod g15_everything_goes;

/// The steps, in order.
pub(super) const CASES: &[Case] = &[
    g01_rights_and_ready::CASE,
    g02_beta_annotation_claim::CASE,
    g03_pod_writes_success::CASE,
    g04_delete_without_archive::CASE,
    g05_delete_with_archive::CASE,
    g06_second_claim_apart::CASE,
    g07_no_default_class::CASE,
    g08_default_class::CASE,
    g09_statefulset_in_order::CASE,
    g10_statefulset_dns::CASE,
    g11_pod_comes_back::CASE,
    g12_statefulset_claims::CASE,
    g13_pages_from_volumes::CASE,
    g14_scaling_four_ways::CASE,
    g15_everything_goes::CASE,
];

const CLASSES: &str = include_str!("../../../../fixtures/walkthrough/class.yaml");
const CLAIM: &str = include_str!("../../../../fixtures/walkthrough/test-claim.yaml");
const SERVICES: &str = include_str!("../../../../fixtures/walkthrough/headless-service.yaml");
const SET: &str = include_str!("../../../../fixtures/walkthrough/statefulset.yaml");
const SET_WITH_VOLUMES: &str =
    include_str!("../../../../fixtures/walkthrough/statefulset-volumes.yaml");

/// Where the scenario's set mounts its volumes, from which nginx serves pages.
const PAGES: &str = "/usr/share/nginx/html";
/// How many replicas the scenario's set has.
const REPLICAS: i32 = 3;

/// One class of the scenario.
async fn class(world: &World, name: &str) -> CaseResult<StorageClass> {
    let made = world.classes_of(CLASSES, &[name]).await?;
    made.into_iter()
        .next()
        .ok_or_else(|| Trouble::inconclusive(format!("no class {name} was made")))
}

/// The scenario's claim `nfs-pv1`, whose class is named by the beta annotation, on `class`.
async fn test_claim<'w>(world: &'w World, class: &StorageClass) -> CaseResult<Claim<'w>> {
    let yaml = CLAIM.replace("managed-nfs-storage", &class.name_any());
    let claims = world.claims_of(&yaml).await?;
    claims
        .into_iter()
        .next()
        .ok_or_else(|| Trouble::inconclusive("the fixture holds no claim"))
}

/// The directory that the scenario names for a claim: `<namespace>-<claim>-<volume>`.
fn directory_name(world: &World, volume: &Volume<'_>) -> String {
    format!(
        "{}-{}-{}",
        world.namespace(),
        volume.claim.name_any(),
        volume.name()
    )
}

/// The services and the set of the scenario, the set on class `nfs`; with `held`, its pods run
/// without being Ready.
async fn start_set<'w>(world: &'w World, yaml: &str, held: bool) -> CaseResult<Set<'w>> {
    world.services_of(SERVICES).await?;
    let mut set: StatefulSet = world.statefulset_of(yaml)?;
    if held {
        world.hold_ready(&mut set);
    }
    world.create_set(&set).await
}

/// The claims `www-web-0..n` are Bound, each to a volume and directory of its own with the
/// scenario's name.
async fn own_volumes<'w>(
    world: &'w World,
    set: &Set<'w>,
    replicas: i32,
) -> CaseResult<Vec<Volume<'w>>> {
    let mut volumes = Vec::new();
    let mut directories = BTreeSet::new();
    for ordinal in 0..replicas {
        let volume = set.claim("www", ordinal).await?.bound().await?;
        let directory = volume.existing_directory().await?;
        crate::trouble::ensure_eq("the directory", &directory, &directory_name(world, &volume))?;
        crate::trouble::ensure(
            directories.insert(directory.clone()),
            "each claim has a directory of its own",
            || format!("{directory} serves two claims"),
        )?;
        volumes.push(volume);
    }
    Ok(volumes)
}

/// Waits until a pod of this name exists.
async fn pod_exists(world: &World, name: &str) -> CaseResult<Pod> {
    let what = format!("pod {name} exists");
    world
        .eventually(name, what, Limit::ControlPlane, |pod: Option<&Pod>| {
            pod.cloned()
        })
        .await
}

//! Source: walkthrough step 7; Kubernetes documentation, persistent volumes, "Class".

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;

use super::class;
use crate::case::Case;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;

/// Without a default class a claim without a class MUST stay Pending, and bind only a volume whose
/// class is empty.
pub(crate) const CASE: Case = Case::step("G07", |world| Box::pin(run(world))).alone();

async fn run(world: &World) -> CaseResult {
    world.without_default_class().await?;
    world.new_claims_get(None).await?;
    let class = class(world, "managed-nfs-storage").await?;
    let claim = world.claim("classless").create().await?;
    // A volume with a class fits in everything else, and must not be taken. No claim names its class.
    let with_class = static_volume(world, "with-class", &world.unique("other")).await?;
    world.event(&claim.uid(), "Normal", "FailedBinding").await?;
    world.control(&class).await?.existing_directory().await?;
    claim.still_pending().await?;
    claim.has_no_volume_or_directory().await?;

    let without_class = static_volume(world, "without-class", "").await?;
    let bound = claim.bound().await?;
    ensure_eq(
        "the volume of the class-less claim",
        &bound.name(),
        &without_class.name_any(),
    )?;
    let free = world
        .cluster_api::<PersistentVolume>()
        .get(&with_class.name_any())
        .await?;
    let phase = free.status.and_then(|status| status.phase);
    ensure_eq(
        "the phase of the volume with a class",
        &phase.as_deref(),
        &Some("Available"),
    )
}

/// A volume that an administrator made, on the export.
async fn static_volume(world: &World, label: &str, class: &str) -> CaseResult<PersistentVolume> {
    let name = world.unique(label);
    world.tracker.track(Tracked::Object {
        kind: Kind::Volume,
        namespace: String::new(),
        name: name.clone(),
    });
    let export = &world.testbed().export;
    let volume = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class,
            "nfs": {"server": export.server, "path": export.path},
        },
    }))
    .map_err(|error| Trouble::inconclusive(format!("a volume of the suite: {error}")))?;
    let api = world.cluster_api::<PersistentVolume>();
    Ok(api.create(&PostParams::default(), &volume).await?)
}

//! Source: Kubernetes end-to-end tests, ephemeral volumes; KEP-1698.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde_json::json;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::pods::{Shell, ShellBuilder};

/// The claim of a generic ephemeral volume MUST be owned by its pod; with the pod its claim, volume
/// and directory MUST go.
pub(crate) const CASE: Case = Case::new("M11", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/scratch";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").reclaim_policy("Delete");
    let class = class.create().await?;
    // The same claim made by hand: its end is not due to the subject being eager.
    let kept = world.claim("kept").class(&class).create().await?;
    let kept_volume = kept.bound().await?;
    let kept_directory = kept_volume.existing_directory().await?;
    let kept_content = world.fill(&kept_directory).await?;

    let pod = with_scratch(world, "worker", &class).create().await?;
    let claim = claim_of(world, &pod).await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    pod.ready().await?;
    world.fill(&directory).await?;
    if world.real_nodes() {
        world.pod_writes("worker", MOUNT, &directory, "own").await?;
        world.same_in_pod("worker", MOUNT, &directory).await?;
    }

    pod.delete().await?;
    let what = format!("claim {} is gone once its pod is", claim.name());
    let gone = |claim: Option<&PersistentVolumeClaim>| claim.is_none().then_some(());
    world
        .eventually(&claim.name(), what, Limit::ControlPlane, gone)
        .await?;
    volume.gone().await?;
    world.nothing_at(&directory).await?;

    // A pod of the same name starts with nothing.
    let again = with_scratch(world, "worker", &class).create().await?;
    let second = claim_of(world, &again).await?;
    ensure(
        second.uid() != claim.uid(),
        "a new pod has a new claim",
        || format!("it is the one with UID {}", claim.uid()),
    )?;
    let new_directory = second.bound().await?.existing_directory().await?;
    let content = world.manifest(&new_directory).await?;
    ensure_eq("entries of its directory", &content.entries.len(), &1)?;
    again.ready().await?;
    world.unchanged(&kept_directory, &kept_content).await
}

fn with_scratch<'w>(world: &'w World, name: &str, class: &StorageClass) -> ShellBuilder<'w> {
    world.shell(name).spec(|spec| {
        spec["volumes"] = json!([{
            "name": "scratch",
            "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": class.name_any(),
                "resources": {"requests": {"storage": "1Mi"}},
            }}},
        }]);
        spec["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": MOUNT}]);
    })
}

/// The claim that the control plane makes for the pod's volume: named after both, and the pod's own.
async fn claim_of<'w>(world: &'w World, pod: &Shell<'w>) -> CaseResult<Claim<'w>> {
    let uid = pod.now().await?.uid().unwrap_or_default();
    let name = format!("{}-scratch", pod.name);
    let what = format!("claim {name} is made for pod {}", pod.name);
    let ours = |claim: &&PersistentVolumeClaim| {
        let owners = claim.owner_references();
        owners.iter().any(|owner| owner.uid == uid)
    };
    let made = world.eventually(&name, what, Limit::ControlPlane, |claim| {
        claim.filter(ours).cloned()
    });
    let claim = world.adopt_claim(made.await?);
    let owners: Vec<_> = claim.object.owner_references().to_vec();
    let owned = owners.len() == 1
        && owners[0].kind == <Pod as k8s_openapi::Resource>::KIND
        && owners[0].name == pod.name
        && owners[0].controller == Some(true);
    ensure(
        owned,
        format!(
            "pod {} is the only owner of claim {name}, and controls it",
            pod.name
        ),
        || format!("its owners are {owners:?}"),
    )?;
    Ok(claim)
}

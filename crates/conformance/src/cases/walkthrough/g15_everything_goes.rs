//! Source: walkthrough step 15.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::ListParams;

use super::{REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// When the set and its claims are deleted, every volume and directory MUST go as the class says.
pub(crate) const CASE: Case = Case::step("G15", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = class(world, "nfs").await?;
    let parameters = class.parameters.unwrap_or_default();
    let archives = parameters
        .get("archiveOnDelete")
        .is_none_or(|value| value != "false");
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    let volumes = own_volumes(world, &set, REPLICAS).await?;

    set.delete_and_wait().await?;
    // Claims outlive their set: they are deleted by hand.
    let claims = world
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?;
    let mut ours = claims.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    ours.retain(|name| name.starts_with("www-web-"));
    ensure_eq(
        "the claims after the set",
        &ours,
        &["www-web-0", "www-web-1", "www-web-2"],
    )?;
    for volume in &volumes {
        world.adopt_claim(volume.claim.clone()).delete().await?;
    }
    for volume in &volumes {
        let directory = volume.directory()?;
        let archive = format!("archived-{directory}");
        if archives {
            world.expect_directory_left(&archive);
        }
        volume.gone().await?;
        world.nothing_at(&directory).await?;
        if archives {
            world.directory_exists(&archive).await?;
        } else {
            world.nothing_at(&archive).await?;
        }
    }
    let entries = world.export().list("").await?;
    let left: Vec<_> = entries
        .into_iter()
        .filter(|entry| entry.starts_with("default-www-web-"))
        .collect();
    ensure(left.is_empty(), "no directory of the set is left", || {
        left.join(", ")
    })
}

//! Source: walkthrough step 14; Kubernetes documentation, StatefulSet, "Deployment and Scaling
//! Guarantees".
//!
//! The four ways are the requests that kubectl makes: `scale` patches the scale subresource, `apply`
//! sends the changed file as a server-side apply, `edit` replaces the object that was read, and
//! `patch` sends a merge patch.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::{REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::expect::Change;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::workload::{Set, is_ready};

/// However it is scaled, a set MUST add the next ordinals in order, remove the highest first, leave
/// the claims and use them again.
pub(crate) const CASE: Case = Case::step("G14", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    let first = volumes(world, &set, REPLICAS).await?;
    let pods = world.record::<Pod>().await?;

    scale(world, &set, 5).await?;
    set.ready(5).await?;
    let five = volumes(world, &set, 5).await?;
    apply(world, &set, 2).await?;
    set.ready(2).await?;
    ensure_eq(
        "the claims' volumes after scaling down",
        &volumes(world, &set, 5).await?,
        &five,
    )?;
    edit(world, &set, 4).await?;
    set.ready(4).await?;
    ensure_eq(
        "the claims' volumes after scaling up",
        &volumes(world, &set, 4).await?,
        &{
            five.iter()
                .take(4)
                .map(|(claim, volume)| (claim.clone(), volume.clone()))
                .collect()
        },
    )?;
    patch(world, &set, REPLICAS).await?;
    set.ready(REPLICAS).await?;
    ensure_eq(
        "the first volumes",
        &volumes(world, &set, REPLICAS).await?,
        &first,
    )?;

    pods.complete()?;
    let expected = ["+3", "+4", "-4", "-3", "-2", "+2", "+3", "-3"];
    ensure_eq(
        "pods made Ready (+) and removed (-)",
        &story(&pods.changes()),
        &expected,
    )
}

/// Name of each claim and its volume; each has a directory of its own.
async fn volumes(
    world: &World,
    set: &Set<'_>,
    replicas: i32,
) -> CaseResult<BTreeMap<String, String>> {
    let volumes = own_volumes(world, set, replicas).await?;
    let volumes: BTreeMap<_, _> = volumes
        .iter()
        .map(|volume| (volume.claim.name_any(), volume.name()))
        .collect();
    ensure(
        volumes.len() == usize::try_from(replicas).unwrap_or_default(),
        "all claims exist",
        || format!("{volumes:?}"),
    )?;
    Ok(volumes)
}

/// What a recording tells of ordinals: when each became Ready, and when each was gone.
fn story(changes: &[Change<Pod>]) -> Vec<String> {
    let mut up = BTreeMap::new();
    let mut story = Vec::new();
    for change in changes {
        let name = change.object.name_any();
        let Some(ordinal) = name.strip_prefix("web-") else {
            continue;
        };
        // The recording begins with the pods that are there.
        let was_up = *up.get(&name).unwrap_or(&matches!(ordinal, "0" | "1" | "2"));
        let is_up = !change.gone && is_ready(&change.object);
        if change.gone && was_up {
            story.push(format!("-{ordinal}"));
        } else if is_up && !was_up && change.object.metadata.deletion_timestamp.is_none() {
            story.push(format!("+{ordinal}"));
        }
        // A pod that is being deleted counts as there until it is gone.
        up.insert(name, if change.gone { false } else { was_up || is_up });
    }
    story
}

async fn scale(world: &World, set: &Set<'_>, replicas: i32) -> CaseResult {
    set.track_claims(replicas);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let api = world.api::<StatefulSet>();
    api.patch_scale(&set.name, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

async fn apply(world: &World, set: &Set<'_>, replicas: i32) -> CaseResult {
    let mut changed = world.statefulset_of(SET_WITH_VOLUMES)?;
    changed.spec.get_or_insert_default().replicas = Some(replicas);
    let api = world.api::<StatefulSet>();
    let params = PatchParams::apply("claimcheck").force();
    api.patch(&set.name, &params, &Patch::Apply(&changed))
        .await?;
    Ok(())
}

async fn edit(world: &World, set: &Set<'_>, replicas: i32) -> CaseResult {
    let api = world.api::<StatefulSet>();
    loop {
        let mut read = api.get(&set.name).await?;
        read.spec.get_or_insert_default().replicas = Some(replicas);
        match api.replace(&set.name, &PostParams::default(), &read).await {
            // The controller wrote its status in between: read again, as an editor would.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            answer => return Ok(answer.map(drop)?),
        }
    }
}

async fn patch(_world: &World, set: &Set<'_>, replicas: i32) -> CaseResult {
    set.scale(replicas).await
}

//! Source: Kubernetes end-to-end tests, `StatefulSet` ("canary updates and phased rolling updates");
//! Kubernetes documentation, `StatefulSet`, "Partitioned rolling updates".

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::controllers_work;
use super::revision::{all_updated, change_template, revision_of};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::workload::Set;

/// Pods with an ordinal below the partition MUST keep the old template, even when they are deleted;
/// those from it on get the new one.
pub(crate) const CASE: Case = Case::new("T14", |world| Box::pin(run(world)));

const REPLICAS: i32 = 3;
const PARTITION: i32 = 2;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world.statefulset("web").replicas(REPLICAS);
    let set = set.spec(|spec| spec["updateStrategy"] = strategy(PARTITION));
    let set = set.template("data", &class).create().await?;
    set.served("data").await?;
    set.ready(REPLICAS).await?;
    set.mounted("data", REPLICAS).await?;
    let mut filled = Vec::new();
    for volume in set.volumes("data", REPLICAS).await? {
        let directory = volume.existing_directory().await?;
        filled.push((world.fill(&directory).await?, directory));
    }
    let before = pods(world, &set).await?;
    let old = revision_of(&before[0])?;

    let changes = world.record::<Pod>().await?;
    let new = change_template(world, &set, "second").await?;
    let last = back(world, &before[2]).await?;
    ensure_eq("revision of pod web-2", &revision_of(&last)?, &new)?;
    controllers_work(world, "control").await?;
    let now = pods(world, &set).await?;
    for ordinal in 0..2 {
        ensure_eq(
            &format!("UID of pod {}, below the partition", set.pod(ordinal)),
            &now[index(ordinal)].uid(),
            &before[index(ordinal)].uid(),
        )?;
    }

    // Deleted, a pod below the partition comes back old, and the other one new.
    for ordinal in [0, 2, 1] {
        let name = set.pod(ordinal);
        world.delete_pod(&name).await?;
        let returned = back(world, &now[index(ordinal)]).await?;
        let due = if ordinal < PARTITION { &old } else { &new };
        ensure_eq(
            &format!("revision of pod {name} that was deleted"),
            &revision_of(&returned)?,
            due,
        )?;
    }
    set.ready(REPLICAS).await?;
    changes.complete()?;
    for change in changes.changes() {
        let name = change.object.name_any();
        let below = (0..PARTITION).any(|ordinal| set.pod(ordinal) == name);
        let revision = revision_of(&change.object);
        ensure(
            !below || revision.as_ref() == Ok(&old),
            format!("pod {name} never has another template while the partition is {PARTITION}"),
            || format!("its revision was {revision:?}"),
        )?;
    }

    // Without the partition the others follow: it was that which held them back.
    let patch = json!({"spec": {"updateStrategy": strategy(0)}});
    world
        .api::<StatefulSet>()
        .patch(&set.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    all_updated(world, &set, REPLICAS, &new).await?;
    for (ordinal, (content, directory)) in (0..).zip(&filled) {
        world.unchanged(directory, content).await?;
        if world.real_nodes() {
            world
                .same_in_pod(&set.pod(ordinal), "/mnt/data", directory)
                .await?;
        }
    }
    set.mounted("data", REPLICAS).await
}

fn strategy(partition: i32) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
}

async fn pods(world: &World, set: &Set<'_>) -> CaseResult<Vec<Pod>> {
    let mut pods = Vec::new();
    for ordinal in 0..REPLICAS {
        pods.push(world.api::<Pod>().get(&set.pod(ordinal)).await?);
    }
    Ok(pods)
}

async fn back(world: &World, pod: &Pod) -> CaseResult<Pod> {
    let uid = pod.uid().unwrap_or_default();
    world.pod_back(&pod.name_any(), &uid).await
}

fn index(ordinal: i32) -> usize {
    usize::try_from(ordinal).unwrap_or_default()
}

//! Source: Kubernetes end-to-end tests, `StatefulSet` ("basic identity"); Kubernetes documentation,
//! `StatefulSet`, "Pod Identity".

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::volume::Volume;
use crate::world::workload::Set;

/// A pod that was deleted MUST return with its name, hostname, claim and data, also on another node.
pub(crate) const CASE: Case = Case::new("T07", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
/// Pods of the set keep away from nodes with a pod that bears this label.
const KEEP_AWAY: &str = "claimcheck.dev/keep-away";

async fn run(world: &World) -> CaseResult {
    world.two_workers()?;
    let class = world.class("plain").create().await?;
    let set = world.statefulset("web").replicas(2).spec(|spec| {
        spec["template"]["spec"]["affinity"] = json!({"podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{
                "labelSelector": {"matchLabels": {KEEP_AWAY: "true"}},
                "topologyKey": "kubernetes.io/hostname",
            }],
        }});
    });
    let set = set.template("data", &class).create().await?;
    set.served("data").await?;
    set.ready(2).await?;
    set.mounted("data", 2).await?;
    let name = set.pod(1);
    let volume = set.claim("data", 1).await?.bound().await?;
    let first = world.api::<Pod>().get(&name).await?;
    identity(world, &set, &first, &volume).await?;

    // Wherever the scheduler likes.
    let second = comes_back(world, &first).await?;
    identity(world, &set, &second, &volume).await?;

    // On another node: the one it is on is closed to it alone, and to nobody else's pods.
    let node = node_of(&second)?;
    let guard = world.shell("guard").label(KEEP_AWAY, "true");
    // Past the scheduler, which would heed the running pod's dislike.
    let guard = guard.spec(|spec| spec["nodeName"] = json!(node));
    guard.create().await?.ready().await?;
    let third = comes_back(world, &second).await?;
    ensure(
        node_of(&third)? != node,
        format!("pod {name} comes back on another node than {node}"),
        || "it is on that node again".to_owned(),
    )?;
    identity(world, &set, &third, &volume).await?;
    // Pod 0 was left in peace all along.
    set.mounted("data", 2).await
}

fn node_of(pod: &Pod) -> CaseResult<String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    node.ok_or_else(|| Trouble::inconclusive(format!("pod {} is on no node", pod.name_any())))
}

async fn comes_back(world: &World, pod: &Pod) -> CaseResult<Pod> {
    let name = pod.name_any();
    world.delete_pod(&name).await?;
    let uid = pod.uid().unwrap_or_default();
    world.pod_back(&name, &uid).await
}

/// The pod is who it was: its name within and without, its claim, and all data on its volume, to
/// which it adds.
async fn identity(world: &World, set: &Set<'_>, pod: &Pod, volume: &Volume<'_>) -> CaseResult {
    let name = pod.name_any();
    let spec = pod.spec.clone().unwrap_or_default();
    ensure_eq("hostname", &spec.hostname.as_deref(), &Some(name.as_str()))?;
    let within = world.run_in(&name, "hostname").await?;
    ensure_eq("the hostname within the pod", &within, &name)?;
    let claims: Vec<String> = spec
        .volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| Some(volume.persistent_volume_claim?.claim_name))
        .collect();
    let due = [set.claim_name("data", 1)];
    ensure_eq(&format!("the claims of pod {name}"), &claims, &due)?;
    let claim = set.claim("data", 1).await?;
    ensure_eq("its claim's UID", &Some(claim.uid()), &volume.claim.uid())?;
    ensure_eq(
        "its claim's volume",
        &claim.bound().await?.name(),
        &volume.name(),
    )?;

    let directory = volume.existing_directory().await?;
    world.same_in_pod(&name, MOUNT, &directory).await?;
    let file = format!("of-{}", pod.uid().unwrap_or_default());
    world.pod_writes(&name, MOUNT, &directory, &file).await?;
    // What every earlier one of this name wrote is there, besides what it has just written.
    let earlier = format!("of-{name}");
    let seen = world
        .run_in(&name, &format!("cat {MOUNT}/{earlier}"))
        .await?;
    ensure(
        seen.contains(&name),
        format!("pod {name} has the file that the first one wrote"),
        || format!("{earlier} is {seen:?}"),
    )
}

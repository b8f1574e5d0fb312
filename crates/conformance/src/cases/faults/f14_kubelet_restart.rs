//! Source: Kubernetes end-to-end tests, disruptive (volumes stay mounted across a restart of the
//! kubelet).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use testbed::state::NodeInfo;
use tokio::time::{Instant, interval};

use crate::case::Case;
use crate::cases::pod_scripts::{background, becomes};
use crate::expect;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::pods::Shell;
use crate::world::volume::Volume;

/// A restart of the kubelet MUST keep mounts readable: while it is away, and afterwards.
pub(crate) const CASE: Case = Case::exclusive("F14", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
/// After so many seconds the node starts its kubelet by itself, whatever becomes of the case.
const BACK_AFTER: &str = "--on-active=120";
/// How often a node is asked for its mounts, which it does not tell of by itself.
const POLL: Duration = Duration::from_millis(200);

/// Answers each question by its own words, through the mount, for as long as it runs.
const ANSWERER: &str = "last=
while :; do
  if read -r token < /mnt/data/question && [ \"$token\" != \"$last\" ]; then
    echo \"$token\" > /mnt/data/answer && last=$token
  fi
  sleep 0.2
done";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let (node, _) = world.nodes_for(&directory)?;
    let pod = world.shell("reader").node(node).mount("data", MOUNT);
    let pod = pod.create().await?;
    let uid = pod.ready().await?.metadata.uid;
    ask(world, &directory, "before").await?;
    background(&pod, "answerer", ANSWERER).await?;
    answered(world, &directory, "before").await?;

    let timer = world.unique("kubelet");
    let unit = format!("--unit={timer}");
    let back = ["systemctl", "start", "kubelet"];
    let arm = [&["systemd-run", &unit, BACK_AFTER][..], &back].concat();
    world.on_node(node, &arm).await?;
    world
        .on_node(node, &["systemctl", "stop", "kubelet"])
        .await?;
    let away = without_kubelet(world, node, &directory).await;
    let renewed = renewal(world, node).await;
    world.on_node(node, &back).await?;
    world.mark("kubelet", "started again");
    world
        .on_node(node, &["systemctl", "stop", &format!("{timer}.timer")])
        .await?;
    away?;
    kubelet_works(world, node, renewed?).await?;

    ask(world, &directory, "after").await?;
    answered(world, &directory, "after").await?;
    let now = pod.now().await?;
    let restarts = now.status.as_ref().and_then(|status| {
        let statuses = status.container_statuses.as_ref()?;
        Some(statuses.first()?.restart_count)
    });
    ensure_eq("the pod's UID", &now.metadata.uid, &uid)?;
    ensure_eq("restarts of its container", &restarts, &Some(0))?;
    next_pod(world, node, &directory).await?;
    unmounts(world, node, &pod, &volume).await
}

/// While the kubelet is away, a pod reads through its mount what is new on the server's side.
async fn without_kubelet(world: &World, node: &NodeInfo, directory: &str) -> CaseResult {
    let state = world
        .on_node(node, &["sh", "-c", "systemctl is-active kubelet || true"])
        .await?;
    if state != "inactive" {
        return Err(Trouble::inconclusive(format!(
            "the kubelet of {} was stopped and is {state}",
            node.name
        )));
    }
    world.mark("kubelet", "stopped");
    for token in ["without-1", "without-2", "without-3"] {
        ask(world, directory, token).await?;
        answered(world, directory, token).await?;
    }
    Ok(())
}

async fn ask(world: &World, directory: &str, token: &str) -> CaseResult {
    let line = format!("{token}\n");
    let path = format!("{directory}/question");
    Ok(world.export().write(&path, line.as_bytes()).await?)
}

/// The pod has read the question through its mount and has written the answer through it.
async fn answered(world: &World, directory: &str, token: &str) -> CaseResult {
    becomes(world, &format!("{directory}/answer"), &format!("{token}\n")).await
}

/// The leases that kubelets renew while they work.
fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client(), "kube-node-lease")
}

fn renewed_at(lease: &Lease) -> Option<String> {
    let time = lease.spec.as_ref()?.renew_time.as_ref()?;
    Some(time.0.to_string())
}

async fn renewal(world: &World, node: &NodeInfo) -> CaseResult<Option<String>> {
    Ok(renewed_at(&leases(world).get(&node.name).await?))
}

/// The kubelet has renewed its lease since it was away.
async fn kubelet_works(world: &World, node: &NodeInfo, before: Option<String>) -> CaseResult {
    let what = format!("the kubelet of {} renews its lease", node.name);
    let wait = world.wait(what, Limit::Pod);
    let renewed = expect::eventually(&wait, leases(world), &node.name, |lease: Option<&Lease>| {
        (renewed_at(lease?) != before).then_some(())
    });
    // A kubelet that does not come back is no subject.
    renewed
        .await
        .map_err(|trouble| Trouble::inconclusive(trouble.to_string()))
}

/// A pod that starts after the restart mounts the same volume beside the first one.
async fn next_pod(world: &World, node: &NodeInfo, directory: &str) -> CaseResult {
    let next = world.shell("next").node(node).mount("data", MOUNT);
    let next = next.create().await?;
    next.ready().await?;
    let read = next.run(&format!("cat {MOUNT}/answer")).await?;
    ensure_eq("the answer as the next pod reads it", &read, &"after")?;
    world
        .pod_writes("next", MOUNT, directory, "of-next")
        .await?;
    next.delete().await
}

/// The new kubelet unmounts what the old one had mounted.
async fn unmounts(
    world: &World,
    node: &NodeInfo,
    pod: &Shell<'_>,
    volume: &Volume<'_>,
) -> CaseResult {
    let uid = pod.now().await?.metadata.uid.unwrap_or_default();
    let mounted = async || -> CaseResult<Option<String>> {
        let mounts = world.on_node(node, &["cat", "/proc/mounts"]).await?;
        let place = format!("{uid}/volumes/");
        let ours = |line: &&str| line.contains(&place) && line.contains(&volume.name());
        Ok(mounts.lines().find(ours).map(str::to_owned))
    };
    // A volume that is a directory of the node is not mounted there.
    let is_nfs = volume.spec().nfs.is_some();
    ensure(
        mounted().await?.is_some() || !is_nfs,
        format!(
            "the volume is mounted on {} while its pod is there",
            node.name
        ),
        || "/proc/mounts there has no such mount".to_owned(),
    )?;
    pod.delete().await?;
    let deadline = Instant::now() + world.limit(Limit::Pod);
    let mut ticks = interval(POLL);
    loop {
        ticks.tick().await;
        match mounted().await? {
            None => return Ok(()),
            Some(left) if Instant::now() >= deadline => {
                let expected = format!("the pod's mount is gone from {} with the pod", node.name);
                return Err(Trouble::failed(expected, format!("it is there: {left}")));
            }
            Some(_) => {}
        }
    }
}

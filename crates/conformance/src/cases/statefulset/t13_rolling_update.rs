//! Source: Kubernetes end-to-end tests, `StatefulSet` ("rolling updates"); Kubernetes documentation,
//! `StatefulSet`, "Rolling Updates".

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::revision::{all_updated, change_template, revision_of};
use crate::case::Case;
use crate::expect::Change;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::is_ready;

/// A changed template MUST replace the pods from the highest ordinal on, each once its successor is
/// Ready again, and keep their data.
pub(crate) const CASE: Case = Case::new("T13", |world| Box::pin(run(world)));

const REPLICAS: i32 = 3;
const MOUNT: &str = "/mnt/data";

/// What was seen of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// It was made from the changed template.
    new: bool,
    /// Running and Ready.
    ready: bool,
    /// Being deleted, and still there.
    ending: bool,
}

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world.statefulset("web").replicas(REPLICAS);
    let set = set.template("data", &class).create().await?;
    set.served("data").await?;
    set.ready(REPLICAS).await?;
    set.mounted("data", REPLICAS).await?;
    let mut before = Vec::new();
    for (ordinal, volume) in (0..).zip(set.volumes("data", REPLICAS).await?) {
        let pod = world.api::<Pod>().get(&set.pod(ordinal)).await?;
        let directory = volume.existing_directory().await?;
        let content = world.fill(&directory).await?;
        before.push((pod, volume, directory, content));
    }

    let pods = world.record::<Pod>().await?;
    let revision = change_template(world, &set, "second").await?;
    all_updated(world, &set, REPLICAS, &revision).await?;
    pods.complete()?;
    in_order(&story(&set.name, &pods.changes(), &revision))?;

    for (ordinal, (pod, volume, directory, content)) in (0..).zip(&before) {
        let name = set.pod(ordinal);
        let now = world.api::<Pod>().get(&name).await?;
        let renewed = now.uid() != pod.uid() && revision_of(&now)? != revision_of(pod)?;
        ensure(renewed, format!("pod {name} was replaced"), || {
            format!("its UID is {:?} as before", now.uid())
        })?;
        let again = set.claim("data", ordinal).await?.bound().await?;
        ensure(
            again.name() == volume.name() && again.claim.uid() == volume.claim.uid(),
            format!("pod {name} has its claim and volume {}", volume.name()),
            || format!("it has {}", again.name()),
        )?;
        world.unchanged(directory, content).await?;
        world.same_in_pod(&name, MOUNT, directory).await?;
    }
    set.mounted("data", REPLICAS).await
}

/// What a recording shows of the set's pods, by ordinal; `None` is the end of one.
fn story(set: &str, changes: &[Change<Pod>], revision: &str) -> Vec<(i32, Option<Seen>)> {
    let of_set = changes.iter().filter_map(|change| {
        let pod = &change.object;
        let name = pod.name_any();
        let ordinal = name.strip_prefix(set)?.strip_prefix('-')?.parse().ok()?;
        let seen = Seen {
            new: revision_of(pod).is_ok_and(|of_pod| of_pod == revision),
            ready: is_ready(pod),
            ending: pod.metadata.deletion_timestamp.is_some(),
        };
        Some((ordinal, (!change.gone).then_some(seen)))
    });
    of_set.collect()
}

/// Fails unless each old pod began to end when all after it were new and Ready, and all did.
fn in_order(story: &[(i32, Option<Seen>)]) -> CaseResult {
    let mut now: BTreeMap<i32, Option<Seen>> = BTreeMap::new();
    let mut ended = Vec::new();
    for (ordinal, seen) in story {
        now.insert(*ordinal, *seen);
        let ends = seen.is_none_or(|seen| seen.ending && !seen.new);
        if !ends || ended.contains(ordinal) {
            continue;
        }
        ended.push(*ordinal);
        for later in ordinal + 1..REPLICAS {
            let done = now.get(&later).copied().flatten();
            ensure(
                done.is_some_and(|seen| seen.new && seen.ready && !seen.ending),
                format!("pod {ordinal} is replaced once pod {later} is new and Ready"),
                || format!("pod {later} was {done:?} then"),
            )?;
        }
    }
    let due: Vec<_> = (0..REPLICAS).rev().collect();
    ensure(
        ended == due,
        format!("the pods are replaced in the order {due:?}"),
        || format!("they were in the order {ended:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(new: bool, ready: bool, ending: bool) -> Seen {
        Seen { new, ready, ending }
    }

    /// An update in this order; each pod is Ready again before the next one ends, or is not.
    fn update(order: &[i32], waits: bool) -> Vec<(i32, Option<Seen>)> {
        let mut story: Vec<_> = (0..REPLICAS)
            .map(|at| (at, Some(seen(false, true, false))))
            .collect();
        for &at in order {
            story.extend([(at, Some(seen(false, true, true))), (at, None)]);
            story.push((at, Some(seen(true, false, false))));
            story.extend(waits.then_some((at, Some(seen(true, true, false)))));
        }
        story
    }

    #[test]
    fn an_update_goes_from_the_highest_on_and_waits() {
        assert!(in_order(&update(&[2, 1, 0], true)).is_ok());
        assert!(in_order(&update(&[2, 1, 0], false)).is_err());
        assert!(in_order(&update(&[0, 1, 2], true)).is_err());
        assert!(in_order(&update(&[2, 0, 1], true)).is_err());
        assert!(in_order(&update(&[2, 1], true)).is_err());
        assert!(in_order(&update(&[], true)).is_err());
    }
}

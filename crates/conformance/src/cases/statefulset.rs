//! Stateful sets: the order in which pods come and go, and the claims that outlive them.
//!
//! Every set has a claim template on the subject's class: no pod runs before its claim is served.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher;

use crate::case::Case;
use crate::expect::{self, Snapshot};
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::workload::is_ready;

mod revision;
mod t01_ordered_start;
mod t02_ordered_stop;
mod t03_unready_halts;
mod t04_parallel_no_wait;
mod t06_claim_names;
mod t07_identity_and_data;
mod t08_rescale_reuses_claim;
mod t09_claims_outlive_set;
mod t13_rolling_update;
mod t14_partition;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    t01_ordered_start::CASE,
    t02_ordered_stop::CASE,
    t03_unready_halts::CASE,
    t04_parallel_no_wait::CASE,
    t06_claim_names::CASE,
    t07_identity_and_data::CASE,
    t08_rescale_reuses_claim::CASE,
    t09_claims_outlive_set::CASE,
    t13_rolling_update::CASE,
    t14_partition::CASE,
];

/// What was seen of a pod at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Running and Ready.
    ready: bool,
    /// Being deleted, and still there.
    ending: bool,
}

/// The pods of a set at one moment, by ordinal.
type Moment = BTreeMap<i32, Seen>;

/// Does `act` while the pods of the set `name` are watched, and returns every state they were in
/// beside what `act` gives. `act` has to bring about the state that `end` accepts.
async fn watching<T>(
    world: &World,
    name: &str,
    end: impl Fn(&Moment) -> bool,
    act: BoxFuture<'_, CaseResult<T>>,
) -> CaseResult<(Vec<Moment>, T)> {
    // Each step of `act` has a limit of its own, and a better sentence.
    let wait = world.wait(
        format!("the pods of set {name} are seen to the end"),
        Limit::WholeCase,
    );
    let mut moments = Vec::new();
    let watched = expect::eventually_among(
        &wait,
        world.api::<Pod>(),
        watcher::Config::default(),
        |pods: &Snapshot<Pod>| {
            let moment = moment_of(name, pods);
            let ended = end(&moment);
            moments.push(moment);
            ended.then_some(())
        },
    );
    let ((), done) = futures::try_join!(Box::pin(watched), act)?;
    Ok((moments, done))
}

fn moment_of(set: &str, pods: &Snapshot<Pod>) -> Moment {
    let ours = pods.values().filter_map(|pod| {
        let name = pod.name_any();
        let ordinal = name.strip_prefix(set)?.strip_prefix('-')?.parse().ok()?;
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let ready = phase == Some("Running") && is_ready(pod);
        Some((
            ordinal,
            Seen {
                ready,
                ending: pod.metadata.deletion_timestamp.is_some(),
            },
        ))
    });
    ours.collect()
}

/// Fails unless every pod that was there had a predecessor that was Running and Ready.
fn started_in_order(moments: &[Moment]) -> CaseResult {
    for moment in moments {
        for &ordinal in moment.keys().filter(|&&ordinal| ordinal > 0) {
            let before = ordinal - 1;
            ensure(
                moment.get(&before).is_some_and(|seen| seen.ready),
                format!("pod {ordinal} appears once pod {before} is Running and Ready"),
                || format!("pods by ordinal when it was there: {moment:?}"),
            )?;
        }
    }
    Ok(())
}

/// Fails unless, of `replicas` pods, each began to end only when those after it were gone.
fn stopped_in_order(moments: &[Moment], replicas: i32) -> CaseResult {
    for moment in moments {
        for ordinal in 0..replicas {
            let ending = moment.get(&ordinal).is_none_or(|seen| seen.ending);
            let later = moment.keys().any(|&other| other > ordinal);
            ensure(
                !(ending && later),
                format!("pod {ordinal} ends once every pod after it is gone"),
                || format!("pods by ordinal when it ended: {moment:?}"),
            )?;
        }
    }
    Ok(())
}

/// Another set of one pod comes up: the controller, the scheduler and the nodes do their work in
/// this window.
async fn controllers_work(world: &World, name: &str) -> CaseResult {
    world.statefulset(name).create().await?.ready(1).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Seen = Seen {
        ready: true,
        ending: false,
    };
    const UNREADY: Seen = Seen {
        ready: false,
        ending: false,
    };
    const ENDING: Seen = Seen {
        ready: false,
        ending: true,
    };

    #[test]
    fn a_start_is_in_order_when_each_predecessor_was_ready() {
        let moments = [
            [].into(),
            [(0, UNREADY)].into(),
            [(0, READY), (1, UNREADY)].into(),
        ];
        assert!(started_in_order(&moments).is_ok());
        assert!(started_in_order(&[[(0, UNREADY), (1, UNREADY)].into()]).is_err());
        assert!(started_in_order(&[[(1, UNREADY)].into()]).is_err());
    }

    #[test]
    fn a_stop_is_in_order_when_each_successor_was_gone() {
        let moments = [
            [(0, READY), (1, READY)].into(),
            [(0, READY), (1, ENDING)].into(),
            [(0, READY)].into(),
            [(0, ENDING)].into(),
            [].into(),
        ];
        assert!(stopped_in_order(&moments, 2).is_ok());
        assert!(stopped_in_order(&[[(0, ENDING), (1, ENDING)].into()], 2).is_err());
        assert!(stopped_in_order(&[[(1, READY)].into()], 2).is_err());
    }
}

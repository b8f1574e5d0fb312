//! All rounds: the ceiling and the subjects in turn, so that what slows the machine down for a while
//! slows all of them down.

use camino::Utf8Path;

use super::burst::Burst;
use super::figures::{Run, measured};
use super::ground::Ground;
use super::order::Order;
use crate::failure::Failure;

/// What the report calls the controller-manager alone.
pub(crate) const CEILING: &str = "ceiling";

/// Hears of each burst.
pub(super) type Told<'a> = &'a (dyn Fn(&str) + Sync);

/// Runs every round; each finished burst is added to `runs`, so that they stay when a later one
/// fails. Logs of subjects go below `logs`.
///
/// The first failure ends it: what a stuck burst leaves behind would spoil the figures of all that
/// follow.
///
/// # Errors
/// The control plane or a subject fails.
pub(crate) async fn all(
    ground: &Ground,
    order: &Order,
    logs: &Utf8Path,
    runs: &mut Vec<Run>,
    told: Told<'_>,
) -> Result<(), Failure> {
    let mut audit = ground.audit_log();
    let mut number = 0;
    let mut next = || {
        number += 1;
        Burst {
            ground,
            number,
            claims: order.claims,
            beside: order.beside,
        }
    };
    for round in 1..=order.rounds {
        if order.ceiling {
            let sample = next().ceiling().await?;
            add(measured(CEILING, round, &sample), order, runs, told);
        }
        for subject in &order.subjects {
            let burst = next();
            let logs = logs.join(format!("burst-{}", burst.number));
            let sample = burst.subject(subject, &mut audit, &logs).await?;
            add(measured(subject.name(), round, &sample), order, runs, told);
        }
    }
    Ok(())
}

fn add(run: Run, order: &Order, runs: &mut Vec<Run>, told: Told<'_>) {
    let Run {
        round,
        contender,
        figures,
    } = &run;
    let (bound, deleted) = (figures.bound_per_s, figures.deleted_per_s);
    let rounds = order.rounds;
    told(&format!(
        "round {round} of {rounds}: {contender}: {bound:.1} Bound/s, {deleted:.1} deleted/s"
    ));
    runs.push(run);
}

//! Durability of intent: killed at any call of provisioning or reclaiming, the claim deleted or
//! not, restarted: exactly one volume or none, no orphan directory, no lost archive, nothing of
//! anyone else touched, no record left.
//!
//! The points are not written down here: a run that is left in peace shows them. Each call is a
//! point `before`; a call that changes something is one `after` as well, its answer lost. After a
//! call that only looks, everything is as before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::StreamExt as _;
use testbed::faults::Moment;

use crate::bed::Bed;
use crate::names::Counted;
use crate::scenario::{Kill, Ran, Scenario, Work};

/// Scenarios at once.
const CONCURRENT: usize = 8;

/// The calls that change something, by name. A provisioner that makes others, or does not make
/// these, has changed: look at what they mean for recovery, then write them down.
fn expected(work: Work) -> Vec<&'static str> {
    let record = [
        "CREATE /.claimcheck/*/records/.tmp-*",
        "WRITE /.claimcheck/*/records/.tmp-*",
        "COMMIT /.claimcheck/*/records/.tmp-*",
        "RENAME /.claimcheck/*/records/.tmp-* -> /.claimcheck/*/records/pvc-*",
    ];
    let mut names: Vec<&str> = record.to_vec();
    let ends = [
        "REMOVE /.claimcheck/*/records/pvc-*",
        "delete persistentvolumes pvc-*",
        "patch persistentvolumes pvc-*",
    ];
    let told = [
        "create events Provisioning",
        "create events ProvisioningSucceeded",
        "create persistentvolumes pvc-*",
    ];
    match work {
        Work::FirstStart => {
            names.extend(told);
            names.extend([
                "MKDIR /NS-victim-pvc-*",
                "MKDIR /.claimcheck",
                "MKDIR /.claimcheck/export-id",
                "MKDIR /.claimcheck/new-*",
                "MKDIR /.claimcheck/*",
                "MKDIR /.claimcheck/*/records",
                "MKDIR /.claimcheck/*/trash",
                "CREATE /.claimcheck/new-*/.tmp-*",
                "WRITE /.claimcheck/new-*/.tmp-*",
                "COMMIT /.claimcheck/new-*/.tmp-*",
                "RENAME /.claimcheck/new-*/.tmp-* -> /.claimcheck/new-*/id",
                "RENAME /.claimcheck/new-* -> /.claimcheck/export-id",
                "CREATE /.claimcheck/*/.tmp-*",
                "WRITE /.claimcheck/*/.tmp-*",
                "COMMIT /.claimcheck/*/.tmp-*",
                "RENAME /.claimcheck/*/.tmp-* -> /.claimcheck/*/probe",
                "REMOVE /.claimcheck/*/probe",
                "RENAME /.claimcheck/*/.tmp-* -> /.claimcheck/*/taken-over",
            ]);
        }
        Work::Provision => {
            names.extend(told);
            names.push("MKDIR /NS-victim-pvc-*");
        }
        Work::ProvisionNested => {
            names.extend(told);
            names.extend([
                "MKDIR /parent",
                "MKDIR /parent/NS",
                "MKDIR /parent/NS/victim",
            ]);
        }
        Work::Delete => {
            names.extend(ends);
            names.extend([
                // Refused: it is not empty.
                "RMDIR /NS-victim-pvc-*",
                "MKDIR /.claimcheck/*/trash/pvc-*",
                "RENAME /NS-victim-pvc-* -> /.claimcheck/*/trash/pvc-*",
                "REMOVE /.claimcheck/*/trash/pvc-*/some/where/data",
                "REMOVE /.claimcheck/*/trash/pvc-*/some/where/more",
                "RMDIR /.claimcheck/*/trash/pvc-*/some/where",
                "RMDIR /.claimcheck/*/trash/pvc-*/some",
                "RMDIR /.claimcheck/*/trash/pvc-*",
            ]);
        }
        Work::Archive => {
            names.extend(ends);
            names.extend([
                "MKDIR /archived-NS-victim-pvc-*",
                "RENAME /NS-victim-pvc-* -> /archived-NS-victim-pvc-*",
            ]);
        }
        Work::Retain => names.extend(&ends[1..]),
    }
    names.sort_unstable();
    names
}

/// The kills of a work whose calls are known. A call that changes something is tried both ways, with
/// the claim kept and with the claim deleted; those that only look take turns: what they find is
/// the same from one change to the next.
fn kills(work: Work, calls: &Counted) -> Vec<Kill> {
    let mut kills = Vec::new();
    for (number, point) in calls.points().into_iter().enumerate() {
        let moments: &[Moment] = if point.changes {
            &[Moment::Before, Moment::After]
        } else {
            &[Moment::Before]
        };
        let fates: &[bool] = match (work.makes(), point.changes) {
            (false, _) => &[false],
            (true, true) => &[false, true],
            (true, false) => &[[false], [true]][number % 2],
        };
        for moment in moments {
            for unclaim in fates {
                kills.push(Kill {
                    point: point.clone(),
                    moment: *moment,
                    unclaim: *unclaim,
                });
            }
        }
    }
    kills
}

/// Tells a person who waits.
#[expect(
    clippy::print_stdout,
    reason = "a test's output is its standard output"
)]
fn say(line: &str) {
    println!("{line}");
}

/// Runs scenarios side by side: what did not hold, which is told at once too, and the names of those
/// whose call was not made again.
async fn run(bed: &Bed, scenarios: Vec<Scenario>) -> (Vec<String>, Vec<String>) {
    let total = scenarios.len();
    let mut ended = futures::stream::iter(scenarios)
        .map(|scenario| async move { (scenario.to_string(), scenario.run(bed).await) })
        .buffer_unordered(CONCURRENT)
        .enumerate();
    let (mut failed, mut spared) = (Vec::new(), Vec::new());
    while let Some((number, (scenario, result))) = ended.next().await {
        match result {
            Ok(Ran::Whole(_)) => {}
            Ok(Ran::NotMet) => spared.push(scenario),
            Err(error) => {
                say(&error);
                failed.push(error);
            }
        }
        if (number + 1).is_multiple_of(25) {
            say(&format!("{} of {total}", number + 1));
        }
    }
    (failed, spared)
}

/// The calls that two runs in peace have in common.
async fn count(bed: &Bed, work: Work, at: usize) -> Counted {
    let one = |run: usize| Scenario {
        name: format!("c{at}x{run}"),
        work,
        kill: None,
    };
    let (first, second) = (one(0), one(1));
    let (first, second) = tokio::join!(first.run(bed), second.run(bed));
    match (first, second) {
        (Ok(Ran::Whole(first)), Ok(Ran::Whole(second))) => first.common(&second),
        (Err(error), _) | (_, Err(error)) => panic!("{error}"),
        _ => unreachable!("nothing is to be met in a run that is left in peace"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_goes_on_as_if_nothing_had_been() {
    let bed = Bed::up("points").await;
    let mut table = String::new();
    let mut scenarios = Vec::new();
    let mut mismatches = BTreeMap::new();
    for (at, work) in Work::ALL.into_iter().enumerate() {
        let calls = count(&bed, work, at).await;
        let (found, wanted) = (calls.changing(), expected(work));
        let mut sorted = found.clone();
        sorted.sort();
        if sorted != wanted {
            mismatches.insert(work.to_string(), sorted);
        }
        let points = calls.points().len();
        let changing = calls.points().iter().filter(|point| point.changes).count();
        let kills = kills(work, &calls);
        assert!(points > 0 && changing > 0, "{work} has no points");
        writeln!(
            table,
            "{work:<18}{points:>8}{changing:>10}{:>8}",
            kills.len()
        )
        .unwrap();
        for kill in kills {
            scenarios.push(Scenario {
                name: format!("k{}", scenarios.len()),
                work,
                kill: Some(kill),
            });
        }
    }
    assert!(
        mismatches.is_empty(),
        "other calls than expected change something: {mismatches:#?}"
    );
    let total = scenarios.len();
    let (failed, spared) = run(&bed, scenarios).await;
    say(&format!(
        "work                 calls  changing   kills\n{table}{} kills, {} did not recover; not \
         killed, for the call was not made again: {}",
        total - spared.len(),
        failed.len(),
        spared.len(),
    ));
    bed.down().await;
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(spared.len() * 20 <= total, "too many spared: {spared:?}");
}

//! An API server that fails: only the claims concerned wait, each recovers by itself, and nothing is
//! made twice.

use std::time::Duration;

use futures::future::try_join_all;
use testbed::faults::api::{ApiCall, Status};
use testbed::faults::{Fault, When};

use crate::bed::Bed;
use crate::disk;
use crate::station::Station;
use crate::wait::{PATIENCE, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_fails_holds_back_the_claims_concerned_only() {
    let bed = Bed::up("api").await;
    let (creation, deletion, watches, away) =
        tokio::join!(creations(&bed), deletions(&bed), watches(&bed), away(&bed));
    bed.down().await;
    let failed: Vec<String> = [creation, deletion, watches, away]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

async fn at_station(
    bed: &Bed,
    name: &str,
    test: impl AsyncFnOnce(&mut Station) -> Result<(), String>,
) -> Result<(), String> {
    let mut station = Station::new(bed, name).await;
    station.start().await;
    let result = match test(&mut station).await {
        Ok(()) => station.stop().await,
        Err(error) => Err(error),
    };
    result.map_err(|error| format!("{name}: {error}\n{}", station.log()))
}

/// Ways in which a call fails, and how often before it is let through.
fn failures() -> [(&'static str, Fault<Status>, u64); 8] {
    let busy = Status {
        code: 429,
        retry_after: Some(1),
    };
    [
        ("conflict", Fault::Answer(Status::of(409)), 2),
        ("throttled", Fault::Answer(busy), 5),
        ("broken", Fault::Answer(Status::of(500)), 2),
        ("unavailable", Fault::Answer(Status::of(503)), 5),
        ("cut", Fault::Cut, 2),
        ("committed", Fault::CommitThenCut, 1),
        ("slow", Fault::Delay(Duration::from_secs(2)), 1),
        // Longer than the provisioner waits for an answer (10 s).
        ("timeout", Fault::CommitThenHang, 1),
    ]
}

/// Every volume and directory there is one of, for every claim, and one record each.
async fn one_of_each(station: &Station, claims: &[(String, String)]) -> Result<(), String> {
    let mut wanted = vec!["archived-foreign".to_owned(), "foreign".to_owned()];
    for (claim, uid) in claims {
        let volumes = station.objects.volumes_of(uid).await?;
        if volumes.len() != 1 {
            return Err(format!("{} volumes for {claim}", volumes.len()));
        }
        wanted.push(format!("{}-{claim}-pvc-{uid}", station.objects.name));
    }
    wanted.sort();
    until(PATIENCE, "an export in order", async || {
        let (top, state) = (
            disk::top(&station.directory),
            disk::state(&station.directory),
        );
        let saved = state
            .records
            .values()
            .filter(|said| *said == "saved")
            .count();
        let fine = top == wanted && saved == claims.len() && state.records.len() == saved;
        if fine && state.trash.is_empty() && state.scraps.is_empty() {
            Ok(())
        } else {
            Err(format!("{top:?}, not {wanted:?}; {state:?}"))
        }
    })
    .await
}

/// The creation of a volume fails in every way.
async fn creations(bed: &Bed) -> Result<(), String> {
    at_station(bed, "creations", async |station| {
        let objects = &station.objects;
        let each = failures().map(async |(name, fault, times)| {
            let (claim, neighbour) = (format!("victim-{name}"), format!("beside-{name}"));
            let about = format!("-{claim}-pvc-");
            let is_it = move |call: &ApiCall| {
                call.is("create", "persistentvolumes") && call.is_about(&about)
            };
            let rule = station.api.plan().set(When::first(times, is_it), fault);
            let uid = objects.claim(&claim, "delete").await;
            soon(&format!("the fault of {claim}"), rule.hit(1)).await?;
            let other = objects.claim(&neighbour, "delete").await;
            objects.until_bound(&neighbour).await?;
            soon(&format!("all faults of {claim}"), rule.hit(times)).await?;
            objects.until_bound(&claim).await?;
            // It goes on by what it finds; an answer that hangs is never needed.
            until(PATIENCE, &format!("record of {claim}"), async || {
                let records = disk::state(&station.directory).records;
                match records.get(&format!("pvc-{uid}")).map(String::as_str) {
                    Some("saved") => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await?;
            rule.lift();
            let failed = objects.events(&claim, "ProvisioningFailed").await.len();
            if failed > 3 {
                return Err(format!("{failed} events on {claim}"));
            }
            Ok([(claim, uid), (neighbour, other)])
        });
        let claims = try_join_all(each).await?.concat();
        one_of_each(station, &claims).await
    })
    .await
}

/// The deletion of a volume, and the look at it before, fail in every way.
async fn deletions(bed: &Bed) -> Result<(), String> {
    at_station(bed, "deletions", async |station| {
        let objects = &station.objects;
        let looks = failures()
            .into_iter()
            .filter(|(name, ..)| ["broken", "cut"].contains(name));
        let each = failures()
            .into_iter()
            .map(|failure| ("delete", failure))
            .chain(looks.map(|failure| ("get", failure)))
            .map(async |(verb, (name, fault, times))| {
                let claim = format!("{verb}-{name}");
                let uid = objects.claim(&claim, "delete").await;
                let other = objects.claim(&format!("beside-{claim}"), "delete").await;
                let volume = objects.until_bound(&claim).await?;
                objects.until_bound(&format!("beside-{claim}")).await?;
                let rule = station.api.plan().set(
                    When::first(times, move |call: &ApiCall| {
                        call.is(verb, "persistentvolumes") && call.name.as_ref() == Some(&volume)
                    }),
                    fault,
                );
                objects.unclaim(&claim).await?;
                soon(&format!("the fault of {claim}"), rule.hit(1)).await?;
                objects.unclaim(&format!("beside-{claim}")).await?;
                for (whose, uid) in [("the other volume", &other), ("the volume", &uid)] {
                    objects
                        .until_ended(uid, &format!("{whose} of {claim}"))
                        .await?;
                }
                rule.lift();
                Ok::<_, String>(())
            });
        try_join_all(each).await?;
        one_of_each(station, &[]).await
    })
    .await
}

/// Watches that end, and one that has to begin anew: nothing is missed, nothing is done twice.
async fn watches(bed: &Bed) -> Result<(), String> {
    at_station(bed, "watches", async |station| {
        let objects = &station.objects;
        let mut claims = vec![("first".to_owned(), objects.claim("first", "delete").await)];
        objects.until_bound("first").await?;
        let expired = station.api.plan().set(
            When::first(3, |call: &ApiCall| call.verb == "watch"),
            Fault::Answer(Status::of(410)),
        );
        station.api.disconnect();
        claims.push(("second".to_owned(), objects.claim("second", "delete").await));
        soon("three watches that are refused", expired.hit(3)).await?;
        objects.until_bound("second").await?;
        expired.lift();
        one_of_each(station, &claims).await?;
        let creations = station.api.plan().since(0);
        let creations = creations
            .iter()
            .filter(|entry| entry.call.is("create", "persistentvolumes"))
            .count();
        match creations {
            2 => Ok(()),
            other => Err(format!("{other} creations for 2 claims")),
        }
    })
    .await
}

/// The whole API away: for a moment, and for longer than a lock can be kept without it.
async fn away(bed: &Bed) -> Result<(), String> {
    at_station(bed, "away", async |station| {
        let objects = station.objects.clone();
        let gone = objects.claim("gone", "delete").await;
        objects.until_bound("gone").await?;
        // Made, bound and ended while the provisioner sees nothing of it.
        station.api.set_away(true);
        let mut claims = vec![("one".to_owned(), objects.claim("one", "delete").await)];
        objects.unclaim("gone").await?;
        station.api.set_away(false);
        objects.until_bound("one").await?;
        objects.until_ended(&gone, "the volume").await?;

        // The lock cannot be renewed: the process ends rather than act without it.
        station.api.set_away(true);
        claims.push(("two".to_owned(), objects.claim("two", "delete").await));
        let status = station.ended().await?;
        if status.success() {
            return Err("it ended without an error although it had lost its lock".to_owned());
        }
        station.api.set_away(false);
        station.start().await;
        objects.until_bound("two").await?;
        one_of_each(station, &claims).await
    })
    .await
}

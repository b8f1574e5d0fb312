//! Claims by the hundred: counted, not timed.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};

use crate::bed::Bed;
use crate::disk;
use crate::station::Station;
use crate::wait::{PATIENCE, until};
use crate::watched::{is_bound, watched};

/// Twice what nfs-ganesha's provisioner can export.
const MANY: usize = 300;
/// Requests under way at once.
const CALLS: usize = 32;
/// Volumes that are there when the claims that are left are deleted: the others are being served, or
/// wait for it.
const UNDER_WAY: usize = 40;
/// What lies on the export of a station from the beginning.
const FOREIGN: [&str; 2] = ["archived-foreign", "foreign"];

#[tokio::test(flavor = "multi_thread")]
async fn claims_by_the_hundred_each_get_a_directory_and_leave_nothing() {
    let bed = Bed::up("many").await;
    let (burst, storm) = tokio::join!(at_station(&bed, "burst"), at_station(&bed, "storm"));
    bed.down().await;
    let failed: Vec<String> = [burst, storm].into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

async fn at_station(bed: &Bed, name: &str) -> Result<(), String> {
    let mut station = Station::new(bed, name).await;
    station.start().await;
    let result = async {
        if name == "burst" {
            burst(&station).await?;
        } else {
            storm(&station).await?;
        }
        station.stop().await?;
        // Whatever was still under way is over now.
        nothing_is_left(&station).await
    }
    .await;
    result.map_err(|error| format!("{name}: {error}\n{}", station.log()))
}

/// No volume object, no directory, no record, nothing in the trash.
async fn nothing_is_left(station: &Station) -> Result<(), String> {
    let objects = &station.objects;
    watched(
        objects.volumes(),
        "the end of all volumes",
        |seen| match objects.count(seen.values()) {
            0 => Ok(()),
            left => Err(format!("{left} volumes are left")),
        },
    )
    .await?;
    until(PATIENCE, "an empty export", async || {
        let top = disk::top(&station.directory);
        let state = disk::state(&station.directory);
        if top == FOREIGN && state == disk::State::default() {
            Ok(())
        } else {
            Err(format!("{top:?}, {state:?}"))
        }
    })
    .await
}

/// All at once: each is Bound and has a directory of its own, and all go again.
async fn burst(station: &Station) -> Result<(), String> {
    let objects = &station.objects;
    let uids: Vec<String> = futures::stream::iter(0..MANY)
        .map(async |number| objects.claim(&format!("claim-{number}"), "delete").await)
        .buffer_unordered(CALLS)
        .collect()
        .await;
    watched(objects.claims(), "all claims Bound", |seen| {
        let bound = seen.values().filter(|claim| is_bound(claim)).count();
        if bound == MANY {
            Ok(())
        } else {
            Err(format!("{bound} of {MANY}"))
        }
    })
    .await?;
    let volumes = watched(objects.volumes(), "the volumes", |_| Ok(())).await?;
    let count = objects.count(volumes.values());
    if count != MANY {
        return Err(format!("{count} volumes"));
    }
    let mut directories: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    for uid in &uids {
        let volume = volumes.get(&format!("pvc-{uid}"));
        let nfs = volume.and_then(|volume| volume.spec.as_ref()?.nfs.as_ref());
        let path = nfs.map(|nfs| nfs.path.clone()).unwrap_or_default();
        let directory = path.strip_prefix("/export/").unwrap_or_default();
        if !directory.ends_with(&format!("-pvc-{uid}")) || directory.contains('/') {
            return Err(format!("the volume of claim {uid} has the path {path:?}"));
        }
        directories.insert(directory.to_owned());
    }
    let top: BTreeSet<String> = disk::top(&station.directory).into_iter().collect();
    if top != directories || top.len() != MANY + FOREIGN.len() {
        return Err(format!("{} directories: {top:?}", top.len()));
    }
    until(PATIENCE, "a record of each volume", async || {
        let state = disk::state(&station.directory);
        let saved = state.records.values().filter(|said| *said == "saved");
        match saved.count() {
            MANY => Ok(()),
            other => Err(format!("{other} of {MANY}")),
        }
    })
    .await?;
    objects.unclaim_all().await?;
    nothing_is_left(station).await
}

/// Half of them are deleted as soon as they are made, the others when some of them have volumes.
async fn storm(station: &Station) -> Result<(), String> {
    let objects = &station.objects;
    futures::stream::iter(0..MANY)
        .map(async |number| {
            let name = format!("claim-{number}");
            objects.claim(&name, "delete").await;
            if number % 2 == 0 {
                objects.drop_claim(&name).await?;
            }
            Ok::<_, String>(())
        })
        .buffer_unordered(CALLS)
        .try_collect::<()>()
        .await?;
    watched(objects.volumes(), "some volumes", |seen| {
        match objects.count(seen.values()) {
            some if some >= UNDER_WAY => Ok(()),
            few => Err(format!("{few} volumes")),
        }
    })
    .await?;
    objects.unclaim_all().await?;
    watched(objects.claims(), "the end of all claims", |seen| {
        if seen.is_empty() {
            Ok(())
        } else {
            Err(format!("{} claims are left", seen.len()))
        }
    })
    .await?;
    // What was asked for before this one has been looked at when it is served.
    objects.claim("after", "delete").await;
    objects.until_bound("after").await?;
    objects.unclaim("after").await?;
    nothing_is_left(station).await
}

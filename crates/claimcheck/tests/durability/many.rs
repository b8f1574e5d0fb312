//! Claims by the hundred: counted, not timed.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::json;

use crate::bed::Bed;
use crate::disk;
use crate::station::Station;
use crate::wait::{PATIENCE, until};
use crate::watched::{Seen, is_bound, watched};

/// Twice what nfs-ganesha's provisioner can export.
const MANY: usize = 300;
/// Requests under way at once.
const CALLS: usize = 32;
/// Volumes that are there when the claims that are left are deleted: the others are being served, or
/// wait for it.
const UNDER_WAY: usize = 40;
/// Volumes that an administrator made beforehand.
const PREMADE: usize = 40;
/// Claims of their class, of which as many get one of them, and of another class, whose volumes tell
/// the provisioner how far its watch has come.
const CLAIMED: usize = 160;
/// What lies on the export of a station from the beginning.
const FOREIGN: [&str; 2] = ["archived-foreign", "foreign"];

#[tokio::test(flavor = "multi_thread")]
async fn claims_by_the_hundred_each_get_a_directory_and_leave_nothing() {
    let bed = Bed::up("many").await;
    let (burst, storm, premade) = tokio::join!(
        at_station(&bed, "burst"),
        at_station(&bed, "storm"),
        at_station(&bed, "premade"),
    );
    bed.down().await;
    let ended = [burst, storm, premade].into_iter();
    let failed: Vec<String> = ended.filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

async fn at_station(bed: &Bed, name: &str) -> Result<(), String> {
    let mut station = Station::new(bed, name).await;
    station.start().await;
    let result = async {
        match name {
            "burst" => burst(&station).await?,
            "storm" => storm(&station).await?,
            _ => premade(&station).await?,
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
    all_bound(station, MANY).await?;
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

async fn all_bound(station: &Station, all: usize) -> Result<(), String> {
    watched(station.objects.claims(), "all claims Bound", |seen| {
        let bound = seen.values().filter(|claim| is_bound(claim)).count();
        if bound == all {
            Ok(())
        } else {
            Err(format!("{bound} of {all}"))
        }
    })
    .await
    .map(drop)
}

/// The controller-manager binds claims to the volumes that are there, and only for the others are
/// volumes made, although claims of a burst are served before it asks for them.
async fn premade(station: &Station) -> Result<(), String> {
    let objects = &station.objects;
    let parameters = json!({ "archiveOnDelete": "false" });
    objects.class("other", parameters).await;
    let names: Vec<String> = (0..PREMADE)
        .map(|number| format!("premade-{number}"))
        .collect();
    for name in &names {
        objects.premade(name, "delete").await;
    }
    let phase = |volume: &PersistentVolume| volume.status.clone().unwrap_or_default().phase;
    let in_phase = |seen: &Seen<PersistentVolume>, wanted: &str| {
        let there = names.iter().filter_map(|name| seen.get(name));
        let count = there
            .filter(|volume| phase(volume).as_deref() == Some(wanted))
            .count();
        if count == PREMADE {
            Ok(())
        } else {
            Err(format!("{count} of {PREMADE}"))
        }
    };
    watched(objects.volumes(), "volumes Available", |seen| {
        in_phase(seen, "Available")
    })
    .await?;
    futures::stream::iter(0..2 * CLAIMED)
        .map(async |number| {
            let class = if number % 2 == 0 { "other" } else { "delete" };
            objects.claim(&format!("claim-{number}"), class).await
        })
        .buffer_unordered(CALLS)
        .collect::<Vec<_>>()
        .await;
    all_bound(station, 2 * CLAIMED).await?;
    let volumes = watched(objects.volumes(), "volumes Bound", |seen| {
        in_phase(seen, "Bound")
    })
    .await?;
    let count = objects.count(volumes.values());
    if count != 2 * CLAIMED {
        return Err(format!("{count} volumes for {} claims", 2 * CLAIMED));
    }
    objects.unclaim_all().await?;
    for name in &names {
        objects.drop_volume(name).await?;
    }
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

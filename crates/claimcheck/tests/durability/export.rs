//! An export that fails: only the claims concerned wait, and each recovers by itself.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::json;
use testbed::faults::nfs::{NfsCall, Refusal, Status};
use testbed::faults::{Fault, When};

use crate::bed::Bed;
use crate::disk;
use crate::objects::Objects;
use crate::station::Station;
use crate::wait::{PATIENCE, soon, until};

/// More than the provisioner has workers for claims (16).
const MORE_THAN_WORKERS: usize = 20;
/// The most events of one kind on one object, whatever the number of attempts: one for each cause.
const CAUSES: usize = 3;
/// An attempt that comes within this time after an edit was not due by back-off, which is 7 s and
/// more after four failures.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_fails_holds_back_the_claims_concerned_only() {
    let bed = Bed::up("export").await;
    let (one, whole, ending, mended) = tokio::join!(
        one_directory(&bed),
        the_whole_export(&bed),
        the_end_of_a_volume(&bed),
        what_is_mended(&bed)
    );
    bed.down().await;
    let failed: Vec<String> = [one, whole, ending, mended]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// A station that serves, with the end of its log in whatever goes wrong.
async fn at_station<T>(
    bed: &Bed,
    name: &str,
    test: impl AsyncFnOnce(&mut Station) -> Result<T, String>,
) -> Result<T, String> {
    let mut station = Station::new(bed, name).await;
    station.start().await;
    let result = test(&mut station).await;
    let result = match result {
        Ok(value) => station.stop().await.map(|()| value),
        Err(error) => Err(error),
    };
    result.map_err(|error| format!("{name}: {error}\n{}", station.log()))
}

fn refused(status: Status) -> Fault<Refusal> {
    Fault::Answer(Refusal(status))
}

/// Few events, however many attempts.
async fn events_are_few(objects: &Objects, about: &str, reason: &str) -> Result<(), String> {
    let events = objects.events(about, reason).await;
    if events.len() <= CAUSES {
        return Ok(());
    }
    let messages: Vec<_> = events.into_iter().map(|event| event.message).collect();
    Err(format!(
        "{} events {reason} on {about}: {messages:#?}",
        messages.len()
    ))
}

/// One directory that cannot be made, for each reason there is; and many that hang.
async fn one_directory(bed: &Bed) -> Result<(), String> {
    at_station(bed, "one", async |station| {
        let objects = &station.objects;
        let refusals = [
            ("nospc", Status::NFS3ERR_NOSPC, "no space"),
            ("dquot", Status::NFS3ERR_DQUOT, "quota"),
            ("rofs", Status::NFS3ERR_ROFS, "read-only"),
            ("acces", Status::NFS3ERR_ACCES, "permission"),
            ("stale", Status::NFS3ERR_STALE, "stale"),
            ("io", Status::NFS3ERR_IO, "input/output"),
            ("jukebox", Status::NFS3ERR_JUKEBOX, ""),
        ];
        let each = refusals.map(async |(name, status, words)| {
            let claim = format!("victim-{name}");
            let about = format!("-{claim}-pvc-");
            let about_it = about.clone();
            let matches =
                move |call: &NfsCall| call.procedure == "MKDIR" && call.is_about(&about_it);
            let rule = station
                .nfs
                .plan()
                .set(When::every(matches), refused(status));
            objects.claim(&claim, "delete").await;
            soon(&format!("two attempts at {claim}"), rule.hit(2)).await?;
            // A server that asks to be left alone for a moment is asked again for a minute.
            if status != Status::NFS3ERR_JUKEBOX {
                let said = objects.until_event(&claim, "ProvisioningFailed").await?;
                if !said.contains(words) {
                    return Err(format!("{claim} was told {said:?}, without {words:?}"));
                }
            }
            // The others are served while this one waits.
            let neighbour = format!("beside-{name}");
            objects.claim(&neighbour, "delete").await;
            objects.until_bound(&neighbour).await?;
            if disk::top(&station.directory)
                .iter()
                .any(|entry| entry.contains(&about))
            {
                return Err(format!(
                    "{claim} has a directory although none could be made"
                ));
            }
            rule.lift();
            objects.until_bound(&claim).await?;
            events_are_few(objects, &claim, "ProvisioningFailed").await
        });
        try_join_all(each).await?;

        // More calls that hang than there are workers.
        let rule = station.nfs.plan().set(
            When::every(|call: &NfsCall| call.is_about("-hung-")),
            Fault::Hang,
        );
        for number in 0..MORE_THAN_WORKERS {
            objects.claim(&format!("hung-{number}"), "delete").await;
        }
        soon("calls that hang", rule.hit(16)).await?;
        objects.claim("beside-those", "delete").await;
        objects.until_bound("beside-those").await?;
        rule.lift();
        for number in 0..MORE_THAN_WORKERS {
            let claim = format!("hung-{number}");
            objects.until_bound(&claim).await?;
            events_are_few(objects, &claim, "ProvisioningFailed").await?;
        }
        let made = station.nfs.plan().since(0);
        let made = made
            .iter()
            .filter(|entry| entry.call.procedure == "MKDIR" && entry.call.is_about("-hung-"));
        let mut paths: Vec<&str> = made.map(|entry| entry.call.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        if paths.len() == MORE_THAN_WORKERS {
            Ok(())
        } else {
            Err(format!(
                "{} directories for {MORE_THAN_WORKERS} claims",
                paths.len()
            ))
        }
    })
    .await
}

/// Ways in which everything on an export fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    Hung,
    Slow,
    Full,
    ReadOnly,
    Squashed,
    Stale,
    Vanished,
}

impl Failing {
    const ALL: [Self; 7] = [
        Self::Hung,
        Self::Slow,
        Self::Full,
        Self::ReadOnly,
        Self::Squashed,
        Self::Stale,
        Self::Vanished,
    ];

    fn fault(self) -> Option<Fault<Refusal>> {
        Some(match self {
            Self::Hung => Fault::Hang,
            Self::Slow => Fault::Delay(Duration::from_millis(100)),
            Self::Full => refused(Status::NFS3ERR_NOSPC),
            Self::ReadOnly => refused(Status::NFS3ERR_ROFS),
            Self::Squashed => refused(Status::NFS3ERR_ACCES),
            Self::Stale => refused(Status::NFS3ERR_STALE),
            Self::Vanished => return None,
        })
    }

    /// Which calls it concerns.
    fn takes(self, call: &NfsCall) -> bool {
        match self {
            Self::Hung | Self::Slow | Self::Stale => call.procedure != "MNT",
            // What is full gives room back.
            Self::Full => ["CREATE", "WRITE", "MKDIR"].contains(&call.procedure.as_str()),
            Self::ReadOnly | Self::Squashed => call.changes(),
            Self::Vanished => false,
        }
    }
}

/// Everything fails at once, with a claim to serve and a volume to end; then it works again.
async fn the_whole_export(bed: &Bed) -> Result<(), String> {
    let each = Failing::ALL.map(async |failing| {
        let name = format!("all-{failing:?}").to_lowercase();
        at_station(bed, &name, async |station| {
            let objects = &station.objects;
            let old = objects.claim("old", "delete").await;
            let volume = objects.until_bound("old").await?;
            let data = format!("{name}-old-{volume}/data");
            fs_err::write(station.directory.join(data), "bytes").unwrap();
            let rule = failing.fault().map(|fault| {
                let when = When::every(move |call: &NfsCall| failing.takes(call));
                station.nfs.plan().set(when, fault)
            });
            station.nfs.set_away(rule.is_none());
            let new = objects.claim("new", "delete").await;
            objects.unclaim("old").await?;
            match (failing, &rule) {
                // It works, at its own pace.
                (Failing::Slow, Some(rule)) => {
                    objects.until_bound("new").await?;
                    soon("slow calls", rule.hit(1)).await?;
                }
                (_, rule) => {
                    if let Some(rule) = rule {
                        soon("failing calls", rule.hit(2)).await?;
                    }
                    objects.until_event("new", "ProvisioningFailed").await?;
                    if !objects.volumes_of(&new).await?.is_empty() {
                        return Err("a volume was made on an export that fails".to_owned());
                    }
                    if failing == Failing::Full {
                        // Ending volumes is what gives room back: it takes none.
                        objects.until_ended(&old, "the old volume").await?;
                    } else if objects.volumes_of(&old).await?.is_empty() {
                        return Err("a volume was ended on an export that fails".to_owned());
                    }
                }
            }
            drop(rule);
            station.nfs.set_away(false);
            let volume = objects.until_bound("new").await?;
            objects.until_ended(&old, "the old volume").await?;
            events_are_few(objects, "new", "ProvisioningFailed").await?;
            events_are_few(objects, &format!("pvc-{old}"), "VolumeFailedDelete").await?;
            only(station, &[format!("{name}-new-{volume}")]).await
        })
        .await
    });
    try_join_all(each).await.map(drop)
}

/// Nothing of ours is on the export but these directories, and their records.
async fn only(station: &Station, directories: &[String]) -> Result<(), String> {
    until(PATIENCE, "an export in order", async || {
        let top = disk::top(&station.directory);
        let ours: Vec<&String> = top
            .iter()
            .filter(|entry| !["archived-foreign", "foreign"].contains(&entry.as_str()))
            .collect();
        let state = disk::state(&station.directory);
        let fine = ours == directories.iter().collect::<Vec<_>>()
            && state.records.len() == directories.len()
            && state.trash.is_empty();
        if fine {
            Ok(())
        } else {
            Err(format!("{ours:?}, {state:?}"))
        }
    })
    .await
}

/// Volumes whose directory cannot be ended, for several reasons; their neighbours end.
async fn the_end_of_a_volume(bed: &Bed) -> Result<(), String> {
    at_station(bed, "ending", async |station| {
        let objects = &station.objects;
        let refusals = [
            ("delete", "RMDIR", refused(Status::NFS3ERR_ROFS)),
            ("delete", "RMDIR", refused(Status::NFS3ERR_ACCES)),
            ("delete", "RMDIR", refused(Status::NFS3ERR_IO)),
            ("archive", "RENAME", refused(Status::NFS3ERR_NOSPC)),
            ("archive", "RENAME", refused(Status::NFS3ERR_STALE)),
            ("archive", "RENAME", Fault::Cut),
        ];
        let each = refusals
            .into_iter()
            .enumerate()
            .map(async |(at, (class, procedure, fault))| {
                let (claim, neighbour) = (format!("victim-{at}x"), format!("beside-{at}x"));
                let uid = objects.claim(&claim, class).await;
                let other = objects.claim(&neighbour, class).await;
                let volume = objects.until_bound(&claim).await?;
                objects.until_bound(&neighbour).await?;
                let about = format!("-{claim}-pvc-");
                let rule = station.nfs.plan().set(
                    When::every(move |call: &NfsCall| {
                        call.procedure == procedure && call.is_about(&about)
                    }),
                    fault,
                );
                objects.unclaim(&claim).await?;
                soon(&format!("two attempts at {claim}"), rule.hit(2)).await?;
                objects.until_event(&volume, "VolumeFailedDelete").await?;
                objects.unclaim(&neighbour).await?;
                objects.until_ended(&other, "the volume beside it").await?;
                if objects.volumes_of(&uid).await?.is_empty() {
                    return Err(format!("the volume of {claim} went without its directory"));
                }
                rule.lift();
                objects
                    .until_ended(&uid, &format!("the volume of {claim}"))
                    .await?;
                events_are_few(objects, &volume, "VolumeFailedDelete").await
            });
        try_join_all(each).await?;
        let archives = disk::top(&station.directory)
            .iter()
            .filter(|entry| entry.starts_with("archived-ending-"))
            .count();
        match archives {
            6 => Ok(()),
            other => Err(format!("{other} archives of 6 volumes")),
        }
    })
    .await
}

/// What its author mends is looked at at once, not when its back-off is over.
async fn what_is_mended(bed: &Bed) -> Result<(), String> {
    at_station(bed, "mended", async |station| {
        let objects = &station.objects;
        // Refused for good: looked at again in five minutes if nothing changes.
        let pattern = "x/${.PVC.annotations.team}/${.PVC.name}";
        objects
            .class("pattern", json!({ "pathPattern": pattern }))
            .await;
        objects.claim("unnamed", "pattern").await;
        objects.class("typo", json!({ "onDelete": "keep" })).await;
        objects.claim("refused", "typo").await;
        let said = objects.until_event("unnamed", "ProvisioningFailed").await?;
        if !said.contains("team") {
            return Err(format!("the missing key is not named: {said}"));
        }
        objects.until_event("refused", "ProvisioningFailed").await?;
        objects.annotate("unnamed", "team", "blue").await;
        objects.until_bound("unnamed").await?;
        objects.remove_class("typo").await;
        objects.class("typo", json!({ "onDelete": "retain" })).await;
        objects.until_bound("refused").await?;

        // Refused by the server again and again: an edit is an attempt of its own.
        let rule = station.nfs.plan().set(
            When::every(|call: &NfsCall| {
                call.procedure == "MKDIR" && call.is_about("-edited-pvc-")
            }),
            refused(Status::NFS3ERR_NOSPC),
        );
        objects.claim("edited", "delete").await;
        soon("four attempts", rule.hit(4)).await?;
        objects.annotate("edited", "note", "look again").await;
        tokio::time::timeout(AT_ONCE, rule.hit(5))
            .await
            .map_err(|_| "an edit was not acted on at once".to_owned())?;
        rule.lift();
        objects.until_bound("edited").await.map(drop)
    })
    .await
}

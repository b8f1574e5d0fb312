//! An export that really takes root for somebody else: the server itself does it, from the start, in
//! the middle, and where that other user may write.

use serde_json::json;

use crate::bed::Bed;
use crate::disk;
use crate::replica::{Hall, Replica};
use crate::wait::{PATIENCE, until};

/// How it is mended, as every cause has to say.
const REMEDY: &str = "no_root_squash";

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_squashes_root_is_named_and_waited_for() {
    let bed = Bed::up("squash").await;
    let (first, later, open) = tokio::join!(from_the_start(&bed), in_the_middle(&bed), open(&bed));
    bed.down().await;
    let failed: Vec<String> = [first, later, open]
        .into_iter()
        .filter_map(Result::err)
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Waits for an event of this reason about an object that says how to mend it.
async fn told(hall: &Hall, about: &str, reason: &str) -> Result<(), String> {
    let what = format!("event {reason} on {about} with {REMEDY}");
    until(PATIENCE, &what, async || {
        let events = hall.objects.events(about, reason).await;
        let messages: Vec<String> = events.into_iter().filter_map(|one| one.message).collect();
        if messages.iter().any(|message| message.contains(REMEDY)) {
            Ok(())
        } else {
            Err(format!("{messages:?}"))
        }
    })
    .await
}

/// Nothing can be made: the log and the probe say why, and nothing is on the export until it can.
async fn from_the_start(bed: &Bed) -> Result<(), String> {
    let mut hall = Hall::new(bed, "shut").await;
    hall.squash(true).await;
    let replica = Replica::start(bed, &hall, "provisioner").await;
    let result = async {
        let uid = hall.objects.claim("data", "delete").await;
        replica.answers("/readyz", 503, REMEDY).await?;
        replica.answers("/readyz", 503, "[-]export failed").await?;
        let line = replica.lines().into_iter().find(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("the export is not ready") && message.contains(REMEDY)
        });
        if line.is_none_or(|line| line["cause"] != "permission-denied") {
            return Err("the log does not say the cause".to_owned());
        }
        let found = disk::tree(&hall.directory);
        if !found.is_empty() || !hall.objects.volumes_of(&uid).await?.is_empty() {
            return Err(format!("something was made: {found:?}"));
        }
        hall.squash(false).await;
        let volume = hall.objects.until_bound("data").await?;
        replica.shows("/readyz", "[+]export ok").await?;
        hall.holds(&[format!("shut-data-{volume}")]).await?;
        replica.stop().await
    }
    .await;
    result.map_err(|error: String| format!("from the start: {error}\n{}", replica.log()))
}

/// It worked, and then the server squashes: a claim and a deletion wait, and are told why.
async fn in_the_middle(bed: &Bed) -> Result<(), String> {
    let mut hall = Hall::new(bed, "shutting").await;
    let replica = Replica::start(bed, &hall, "provisioner").await;
    let result = async {
        let old = hall.objects.claim("old", "delete").await;
        let volume = hall.objects.until_bound("old").await?;
        let directory = format!("shutting-old-{volume}");
        hall.holds(std::slice::from_ref(&directory)).await?;
        fs_err::write(hall.directory.join(&directory).join("data"), "bytes").unwrap();
        let before = disk::tree(&hall.directory);
        hall.squash(true).await;
        let new = hall.objects.claim("new", "delete").await;
        hall.objects.unclaim("old").await?;
        told(&hall, "new", "ProvisioningFailed").await?;
        told(&hall, &volume, "VolumeFailedDelete").await?;
        replica.answers("/readyz", 503, REMEDY).await?;
        if disk::tree(&hall.directory) != before {
            return Err("something was changed".to_owned());
        }
        if !hall.objects.volumes_of(&new).await?.is_empty() {
            return Err("a volume was made".to_owned());
        }
        hall.squash(false).await;
        let volume = hall.objects.until_bound("new").await?;
        hall.objects.until_ended(&old, "the old volume").await?;
        hall.holds(&[format!("shutting-new-{volume}")]).await?;
        replica.shows("/readyz", "[+]export ok").await?;
        replica.stop().await
    }
    .await;
    result.map_err(|error: String| format!("in the middle: {error}\n{}", replica.log()))
}

/// Everybody may write at the root: the usual class works from the first claim to the last removal.
/// Only what root alone can do waits, and nothing is left of the attempts.
async fn open(bed: &Bed) -> Result<(), String> {
    let mut hall = Hall::new(bed, "open").await;
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs_err::set_permissions(&hall.directory, everybody).unwrap();
    hall.squash(true).await;
    hall.objects
        .class(
            "owned",
            json!({ "archiveOnDelete": "false", "directoryUid": "1000" }),
        )
        .await;
    let replica = Replica::start(bed, &hall, "provisioner").await;
    let result = async {
        let plain = hall.objects.claim("plain", "delete").await;
        let volume = hall.objects.until_bound("plain").await?;
        let directory = format!("open-plain-{volume}");
        hall.holds(std::slice::from_ref(&directory)).await?;
        hall.objects.claim("owned", "owned").await;
        told(&hall, "owned", "ProvisioningFailed").await?;
        // Between two attempts, that is.
        until(PATIENCE, "nothing half-made", async || {
            let top = disk::top(&hall.directory);
            if top == [directory.as_str()] {
                Ok(())
            } else {
                Err(format!("{top:?}"))
            }
        })
        .await?;
        hall.objects.unclaim("plain").await?;
        hall.objects.until_ended(&plain, "the plain volume").await?;
        hall.squash(false).await;
        let volume = hall.objects.until_bound("owned").await?;
        hall.holds(&[format!("open-owned-{volume}")]).await?;
        replica.stop().await
    }
    .await;
    result.map_err(|error: String| format!("open: {error}\n{}", replica.log()))
}

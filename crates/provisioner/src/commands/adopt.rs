//! `adopt`: hands volumes to the provisioner that it has no record of.
//!
//! The command sets [`ADOPT`] on the volume objects; the process that holds the lock takes them
//! over. So one process only ever writes records, and the right to patch volumes is what is asked
//! of the person. A volume of this very deployment is handed over if its record is gone from the
//! export.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, all, all_volumes, is_named, owner, table};
use crate::adopt::{self as decide, Policy};
use crate::clock::{BootClock, Fence};
use crate::config::{Config, Target};
use crate::constants::{ADOPT, OWNER};
use crate::error::Error;
use crate::export;
use crate::seams::Seams;
use crate::storage::Storage;

/// What became of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    volume: String,
    outcome: Outcome,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It says now that it is to be taken over.
    HandedOver,
    /// It would.
    WouldBeHandedOver,
    /// It is left as it is.
    Left,
    /// It could not be done.
    Failed,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::HandedOver => "handed over",
            Self::WouldBeHandedOver => "would be handed over",
            Self::Left => "left",
            Self::Failed => "failed",
        }
    }
}

/// What the command did.
#[derive(Debug)]
pub struct Adopted {
    rows: Vec<Row>,
    /// Whether the volumes were chosen by name, so that each one left is a failure.
    by_name: bool,
}

/// Hands over the volumes `chosen` by name, or every one that can be.
///
/// # Errors
/// [`Error::Api`] when the cluster cannot be listed.
///
/// # Access control
/// `persistentvolumes` list and patch, `storageclasses` list; `leases` and `endpoints` get, to find
/// the id of the deployment.
pub async fn run(
    config: &Config,
    seams: &Seams,
    chosen: Option<&[String]>,
    dry_run: bool,
) -> Result<Adopted, Error> {
    let volumes = all_volumes(seams).await?;
    let classes = all("classes", seams.cluster.watch_classes(), |_| true).await?;
    let records = Records::new(config, seams, owner(config, seams, &volumes).await?);
    let mut rows = Vec::new();
    match chosen {
        Some(names) => {
            for name in names {
                let found = volumes.iter().find(|volume| volume.name_any() == *name);
                rows.push(match found {
                    Some(volume) => {
                        let held = records.hold(volume).await;
                        let judged = judge(&config.target, volume, &classes, &held);
                        hand_over(seams, judged, dry_run).await
                    }
                    None => row(name, Outcome::Failed, "there is no such volume"),
                });
            }
        }
        None => {
            for volume in volumes.iter().filter(|volume| is_named(config, volume)) {
                let held = records.hold(volume).await;
                let judged = judge(&config.target, volume, &classes, &held);
                rows.push(hand_over(seams, judged, dry_run).await);
            }
        }
    }
    Ok(Adopted {
        rows,
        by_name: chosen.is_some(),
    })
}

/// The records of this deployment, to read only.
struct Records {
    storage: Storage,
    owner: Option<String>,
}

/// What the export says about a volume that a provisioner of this kind made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// Nobody of this kind made it.
    No,
    /// Its record is there, or not ours to judge, in words.
    Yes(String),
    /// It is of this deployment, and its record is gone.
    Lost,
}

impl Records {
    fn new(config: &Config, seams: &Seams, owner: Option<String>) -> Self {
        // Closed for good: whatever tried to write would fail.
        let fence = Fence::closed(Arc::new(BootClock));
        let limits = config.limits;
        let storage = Storage::new(seams.storage.clone(), fence, limits.storage, limits.removal);
        Self { storage, owner }
    }

    async fn hold(&self, volume: &PersistentVolume) -> Held {
        let Some(maker) = volume.annotations().get(OWNER) else {
            return Held::No;
        };
        if self.owner.as_ref() != Some(maker) {
            return Held::Yes(format!("the deployment {maker} made it"));
        }
        match export::has_record(&self.storage, maker, &volume.name_any()).await {
            Ok(true) => Held::Yes("this provisioner made it, and has its record".to_owned()),
            Ok(false) => Held::Lost,
            Err(error) => Held::Yes(format!(
                "this provisioner made it; whether it has its record cannot be seen: failed to {error}"
            )),
        }
    }
}

fn row(volume: &str, outcome: Outcome, message: impl Into<String>) -> Row {
    Row {
        volume: volume.to_owned(),
        outcome,
        message: message.into(),
    }
}

/// Whether a volume is to be handed over, and what happens to it then.
fn judge(target: &Target, volume: &PersistentVolume, classes: &[StorageClass], held: &Held) -> Row {
    let name = volume.name_any();
    let class = decide::class_name(volume);
    let class = classes.iter().find(|known| known.name_any() == class);
    if let Held::Yes(why) = held {
        return row(&name, Outcome::Left, why.as_str());
    }
    match decide::assess(target, volume, class) {
        Err(cause) => row(&name, Outcome::Left, cause.to_string()),
        Ok(adoption) => {
            let policy = match adoption.policy {
                Policy::Known(on_delete) => format!("on delete: {on_delete}"),
                Policy::AwaitsClass(class) => decide::awaiting(&class),
            };
            let lost = if *held == Held::Lost {
                "; its record was gone from the export"
            } else {
                ""
            };
            let message = format!("directory {}; {policy}{lost}", adoption.directory);
            row(&name, Outcome::WouldBeHandedOver, message)
        }
    }
}

async fn hand_over(seams: &Seams, judged: Row, dry_run: bool) -> Row {
    if dry_run || judged.outcome != Outcome::WouldBeHandedOver {
        return judged;
    }
    let annotated = seams
        .cluster
        .annotate_volume(&judged.volume, &[(ADOPT, "true")])
        .await;
    match annotated {
        Ok(()) => Row {
            outcome: Outcome::HandedOver,
            ..judged
        },
        Err(error) => Row {
            outcome: Outcome::Failed,
            message: format!("failed to {error}"),
            ..judged
        },
    }
}

impl Report for Adopted {
    fn table(&self) -> String {
        let rows: Vec<[String; 3]> = self
            .rows
            .iter()
            .map(|row| {
                [
                    row.volume.clone(),
                    row.outcome.word().to_owned(),
                    row.message.clone(),
                ]
            })
            .collect();
        let mut text = table::columns(["VOLUME", "OUTCOME", "WHAT"], &rows);
        text.push_str("The provisioner that holds the lock takes over what was handed over.\n");
        text
    }

    fn json(&self) -> Value {
        json!({ "schema": "nfs-provisioner/adopt/v1", "volumes": self.rows })
    }

    fn complaint(&self) -> Option<String> {
        let failed = self
            .rows
            .iter()
            .filter(|row| match row.outcome {
                Outcome::Failed => true,
                Outcome::Left => self.by_name,
                Outcome::HandedOver | Outcome::WouldBeHandedOver => false,
            })
            .count();
        (failed > 0).then(|| format!("{} not handed over", table::count(failed, "volume")))
    }
}

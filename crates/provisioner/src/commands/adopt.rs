//! `adopt`: hands volumes to the provisioner that it has no record of.
//!
//! The command sets [`ADOPT`] on the volume objects; the process that holds the lock takes them
//! over. So one process only ever writes records, and the right to patch volumes is what is asked
//! of the person.

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, all, all_volumes, is_named, table};
use crate::adopt::{self as decide, Policy};
use crate::config::{Config, Target};
use crate::constants::{ADOPT, OWNER};
use crate::error::Error;
use crate::seams::Seams;

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
/// `persistentvolumes` list and patch, `storageclasses` list.
pub async fn run(
    config: &Config,
    seams: &Seams,
    chosen: Option<&[String]>,
    dry_run: bool,
) -> Result<Adopted, Error> {
    let volumes = all_volumes(seams).await?;
    let classes = all("classes", seams.cluster.watch_classes(), |_| true).await?;
    let mut rows = Vec::new();
    match chosen {
        Some(names) => {
            for name in names {
                let found = volumes.iter().find(|volume| volume.name_any() == *name);
                rows.push(match found {
                    Some(volume) => {
                        hand_over(seams, judge(&config.target, volume, &classes), dry_run).await
                    }
                    None => row(name, Outcome::Failed, "there is no such volume"),
                });
            }
        }
        None => {
            for volume in volumes.iter().filter(|volume| is_named(config, volume)) {
                let judged = judge(&config.target, volume, &classes);
                rows.push(hand_over(seams, judged, dry_run).await);
            }
        }
    }
    Ok(Adopted {
        rows,
        by_name: chosen.is_some(),
    })
}

fn row(volume: &str, outcome: Outcome, message: impl Into<String>) -> Row {
    Row {
        volume: volume.to_owned(),
        outcome,
        message: message.into(),
    }
}

/// Whether a volume is to be handed over, and what happens to it then.
fn judge(target: &Target, volume: &PersistentVolume, classes: &[StorageClass]) -> Row {
    let name = volume.name_any();
    let class = decide::class_name(volume);
    let class = classes.iter().find(|known| known.name_any() == class);
    if volume.annotations().contains_key(OWNER) {
        return row(&name, Outcome::Left, "this provisioner made it");
    }
    match decide::assess(target, volume, class) {
        Err(cause) => row(&name, Outcome::Left, cause.to_string()),
        Ok(adoption) => {
            let policy = match adoption.policy {
                Policy::Known(on_delete) => format!("on delete: {on_delete}"),
                Policy::AwaitsClass(class) => decide::awaiting(&class),
            };
            let message = format!("directory {}; {policy}", adoption.directory);
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

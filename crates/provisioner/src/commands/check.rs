//! `check`: what becomes of the classes, volumes and rights there are when this provisioner takes
//! over. Nothing is written, neither to the cluster nor to the export.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Report, all, all_volumes, if_granted, owner, table};
use crate::access::{self, Reviewed};
use crate::backend::{Cause, Kind};
use crate::clock::{BootClock, Fence};
use crate::config::Config;
use crate::decide::reclaim;
use crate::error::{Error, StepError};
use crate::export::{self, Found};
use crate::lease;
use crate::lease::endpoints::OnEndpoints;
use crate::lease::objects::LockObjects as _;
use crate::path::RelativePath;
use crate::seams::Seams;
use crate::storage::Storage;

mod judge;

/// Directories looked at at once.
const CONCURRENT: usize = 16;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// The switch would stop something that works now: to be mended first.
    Problem,
    /// Something to know of, and to be decided by a person.
    Warning,
    /// What happens, for the record.
    Note,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing found. Kinds are stable words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    kind: &'static str,
    object: String,
    message: String,
}

/// How many volumes of our name there are, by what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    /// Taken over at the first start.
    adopted: usize,
    /// Made or taken over by this provisioner already.
    recorded: usize,
    /// Left alone.
    left: usize,
}

/// Everything that is looked at.
struct Facts<'a> {
    config: &'a Config,
    /// The exported path as it was given: the configuration holds a cleaned one.
    spelling: &'a str,
    owner: Option<String>,
    reviewed: Vec<Reviewed>,
    /// Of our name only.
    classes: Vec<StorageClass>,
    /// All of them: any may lie on the export.
    volumes: Vec<PersistentVolume>,
    /// Those of our classes.
    claims: Vec<PersistentVolumeClaim>,
    /// Who the old lock says holds it.
    old_holder: Option<String>,
    export: Result<Seen, String>,
}

/// What was seen on the export.
#[derive(Debug, Default)]
struct Seen {
    id: Option<String>,
    records: Found,
    /// What stands where volumes have their directories; absent ones are missing.
    directories: BTreeMap<RelativePath, Kind>,
}

/// What the command found.
#[derive(Debug)]
pub struct Check {
    findings: Vec<Finding>,
    counts: Counts,
}

/// Looks at everything. `spelling` is the exported path as it was given.
///
/// # Errors
/// [`Error::Api`] when the cluster cannot be listed. An export that cannot be looked at is a finding.
///
/// # Access control
/// Those of `run`, only to read. The rights that are judged are those of the account that asks.
pub async fn run(config: &Config, seams: &Seams, spelling: &str) -> Result<Check, Error> {
    let provisioner = config.target.provisioner.as_str();
    let mut classes = all("classes", seams.cluster.watch_classes(), |class| {
        class.provisioner == provisioner
    })
    .await?;
    classes.sort_by_key(ResourceExt::name_any);
    let of_ours = |claim: &PersistentVolumeClaim| {
        let class = crate::decide::class_name(claim).unwrap_or_default();
        classes.iter().any(|known| known.name_any() == class)
    };
    let mut claims = all("claims", seams.cluster.watch_claims(), of_ours).await?;
    claims.sort_by_key(|claim| (claim.namespace(), claim.name_any()));
    let volumes = all_volumes(seams).await?;
    let owner = owner(config, seams, &volumes).await?;
    let old = OnEndpoints(seams.cluster.clone());
    let lock = config.target.provisioner.lock_name();
    let old = if_granted(old.get_lease(&config.namespace, &lock).await)?;
    let export = look(config, seams, owner.as_deref(), &volumes).await;
    let facts = Facts {
        config,
        spelling,
        owner,
        reviewed: access::reviews(&*seams.cluster, &config.namespace).await,
        classes,
        volumes,
        claims,
        old_holder: old.as_ref().and_then(lease::holder).map(str::to_owned),
        export: export.map_err(|error| error.to_string()),
    };
    let (findings, counts) = judge::findings(&facts);
    Ok(Check { findings, counts })
}

/// Looks at the export: id, records, and what stands where volumes have their directories.
async fn look(
    config: &Config,
    seams: &Seams,
    owner: Option<&str>,
    volumes: &[PersistentVolume],
) -> Result<Seen, StepError> {
    // Closed for good: whatever tried to write would fail.
    let fence = Fence::closed(Arc::new(BootClock));
    let limits = config.limits;
    let storage = Storage::new(seams.storage.clone(), fence, limits.storage, limits.removal);
    let root = storage.stat(&RelativePath::root()).await?;
    if root.is_none_or(|root| root.kind != Kind::Directory) {
        return Err(StepError::Export("its root is no directory".to_owned()));
    }
    let id = export::read_id(&storage).await?;
    let records = match (&id, owner) {
        // No provisioner of this kind was ever there.
        (None, _) => Found::default(),
        (Some(_), Some(owner)) => export::load(&storage, owner).await?,
        (Some(_), None) => Found {
            own: Vec::new(),
            foreign: export::load_foreign(&storage, "").await?,
        },
    };
    let wanted: Vec<RelativePath> = volumes
        .iter()
        .filter_map(|volume| reclaim::volume_directory(&config.target, volume))
        .collect();
    let directories = futures::stream::iter(wanted)
        .map(|directory| {
            let storage = &storage;
            async move {
                let kind = match storage.stat(&directory).await {
                    Ok(found) => found.map(|stat| stat.kind),
                    Err(error) if error.cause == Cause::NotADirectory => Some(Kind::Other),
                    Err(error) => return Err(StepError::from(error)),
                };
                Ok(kind.map(|kind| (directory, kind)))
            }
        })
        .buffer_unordered(CONCURRENT)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    Ok(Seen {
        id,
        records,
        directories,
    })
}

impl Check {
    fn number(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    }
}

impl Report for Check {
    fn table(&self) -> String {
        let rows: Vec<[String; 4]> = self
            .findings
            .iter()
            .map(|finding| {
                [
                    finding.level.word().to_owned(),
                    finding.kind.to_owned(),
                    finding.object.clone(),
                    finding.message.clone(),
                ]
            })
            .collect();
        let Counts {
            adopted,
            recorded,
            left,
        } = self.counts;
        let problems = self.number(Level::Problem);
        let verdict = if problems == 0 {
            "safe to switch"
        } else {
            "not safe to switch"
        };
        format!(
            "{}\n{verdict}: {} and {}. Volumes of this name: {adopted} to be taken over, {recorded} recorded already, \
             {left} left alone.\n",
            table::columns(["LEVEL", "KIND", "OBJECT", "WHAT"], &rows),
            table::count(problems, "problem"),
            table::count(self.number(Level::Warning), "warning"),
        )
    }

    fn json(&self) -> Value {
        json!({
            "schema": "nfs-provisioner/check/v1",
            "safe": self.number(Level::Problem) == 0,
            "volumes": self.counts,
            "findings": self.findings,
        })
    }

    fn complaint(&self) -> Option<String> {
        let problems = self.number(Level::Problem);
        (problems > 0).then(|| {
            format!(
                "{} to be mended before the switch",
                table::count(problems, "problem")
            )
        })
    }
}

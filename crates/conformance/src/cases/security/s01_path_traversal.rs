//! Source: CVE-2026-3864 (sub-directories of an NFS CSI driver), CVE-2025-62878 and #542 of
//! local-path-provisioner, #250 of nfs-subdir-external-provisioner.

use futures::future::try_join_all;
use serde_json::json;

use crate::case::Case;
use crate::catalogue::Feature;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;

/// Whatever a claim's annotations or a class's pattern say, a volume MUST lie below the export's
/// root: the claim gets a directory there, or is refused with an event.
pub(crate) const CASE: Case = Case::new("S01", |world| Box::pin(run(world)));

/// The annotation that the class's pattern names.
const KEY: &str = "nfs.io/storage-path";

/// Ways out, each ending in a name of the case's own: nothing that exists is aimed at.
const WAYS_OUT: [(&str, &str); 5] = [
    ("parent", "../NAME"),
    ("detour", "inside/../../NAME"),
    ("absolute", "/NAME/../../NAME"),
    ("far", "../../../../../../../../tmp/NAME"),
    ("backslash", "..\\..\\NAME"),
];

async fn run(world: &World) -> CaseResult {
    let name = world.unique("outside");
    let patterns = world.subject().declares(Feature::PathPattern);
    let annotated = world.class("annotated");
    let class = if patterns {
        annotated.parameter("pathPattern", &world.annotation_pattern(KEY))
    } else {
        annotated
    };
    let class = class.create().await?;

    let mut hostile = Vec::new();
    for (label, way) in WAYS_OUT {
        let value = way.replace("NAME", &name);
        let claim = world.claim(label).class(&class).annotation(KEY, &value);
        hostile.push((format!("annotation `{value}`"), claim.create().await?));
        if patterns {
            let class = world.class(&format!("pattern-{label}"));
            let class = class.parameter("pathPattern", &value).create().await?;
            let claim = world.claim(&format!("{label}-pattern")).class(&class);
            hostile.push((format!("pattern `{value}`"), claim.create().await?));
        }
    }

    // The same class serves a claim that means no harm, in the place that it asks for.
    let wanted = world.unique("inside");
    let control = world
        .claim("control")
        .class(&class)
        .annotation(KEY, &wanted);
    let control = control.create().await?.bound().await?;
    let directory = control.existing_directory().await?;
    if patterns {
        let own = directory.rsplit('/').next().unwrap_or_default();
        ensure_eq(
            "the directory that the control asks for",
            &own,
            &wanted.as_str(),
        )?;
    }
    let data = world.fill(&directory).await?;

    let judged = hostile
        .iter()
        .map(|(input, claim)| stays_inside(world, input, claim));
    try_join_all(judged).await?;
    nothing_beside_the_root(world, &name)?;
    for (_, claim) in &hostile {
        claim.delete_and_wait().await?;
    }
    nothing_beside_the_root(world, &name)?;
    world.unchanged(&directory, &data).await
}

/// The claim is refused, or its volume is a directory of its own below the root.
async fn stays_inside(world: &World, input: &str, claim: &Claim<'_>) -> CaseResult {
    let Some(volume) = claim.bound_or_refused().await? else {
        return Ok(());
    };
    match volume.existing_directory().await {
        Ok(_) => Ok(()),
        Err(Trouble::Failed(finding)) => {
            kept(world, &volume).await?;
            Err(Trouble::failed(
                format!("{input} leads to no place outside of the export, and not to its root"),
                format!("volume {}: {}", volume.name(), finding.observed),
            ))
        }
        Err(trouble) => Err(trouble),
    }
}

/// Keeps the subject from deleting what a volume that leads outside points at.
async fn kept(world: &World, volume: &Volume<'_>) -> CaseResult {
    world.tracker.track(Tracked::Object {
        kind: Kind::Volume,
        namespace: String::new(),
        name: volume.name(),
    });
    volume
        .patch(json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}))
        .await?;
    Ok(())
}

/// Beside the exported directory, on this machine, is nothing of the case's name: for subjects that
/// have the directory and not only the protocol.
fn nothing_beside_the_root(world: &World, name: &str) -> CaseResult {
    let Some(parent) = world.testbed().export.directory.parent() else {
        return Ok(());
    };
    let strays: Vec<String> = parent
        .read_dir_utf8()
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.file_name().to_owned())
                .filter(|entry| entry.contains(name))
                .collect()
        })
        .map_err(|error| Trouble::inconclusive(format!("cannot list {parent}: {error}")))?;
    ensure_eq(
        "what was made beside the exported directory",
        &strays,
        &Vec::<String>::new(),
    )
}

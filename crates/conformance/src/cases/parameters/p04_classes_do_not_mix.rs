//! Source: storage classes documentation (parameters belong to a class, not to its provisioner).

use k8s_openapi::api::storage::v1::StorageClass;

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;
use crate::world::export::archive_of;

/// Claims of two classes with different parameters on one provisioner MUST each be treated as their
/// own class says.
pub(crate) const CASE: Case = Case::new("P04", |world| Box::pin(run(world)));

/// The annotation by which a claim says how its directory begins, where the subject has patterns.
const KEY: &str = "claimcheck.dev/directory";
/// In turns, so that what is remembered of one class meets a claim of the other.
const CLAIMS: &[(&str, bool)] = &[
    ("kept-0", true),
    ("dropped-0", false),
    ("kept-1", true),
    ("dropped-1", false),
];

async fn run(world: &World) -> CaseResult {
    let kept = class(world, "kept").await?;
    let dropped = class(world, "dropped").await?;
    let mut claims = Vec::new();
    for &(name, keep) in CLAIMS {
        let class = if keep { &kept } else { &dropped };
        let place = format!("{}-{name}", world.namespace());
        let claim = world.claim(name).class(class).annotation(KEY, &place);
        claims.push((claim.create().await?, keep));
    }
    let mut volumes = Vec::new();
    for (claim, keep) in &claims {
        let volume = claim.bound().await?;
        let directory = volume.existing_directory().await?;
        if world.subject().declares(Feature::PathPattern) {
            let label = if *keep { "kept" } else { "dropped" };
            let wanted = format!("{}-{}-{label}", world.namespace(), claim.name());
            // On a node its name comes first.
            let own = directory.rsplit('/').next().unwrap_or_default();
            ensure_eq(
                &format!("the directory of claim {}", claim.name()),
                &own,
                &wanted.as_str(),
            )?;
        }
        let data = world.fill(&directory).await?;
        volumes.push((volume, directory, data));
    }
    for (claim, _) in &claims {
        claim.delete_and_wait().await?;
    }
    let archives = world.subject().declares(Feature::Archive);
    for ((volume, directory, data), (_, keep)) in volumes.iter().zip(&claims) {
        match (keep, archives) {
            (true, true) => {
                let archive = archive_of(directory);
                world.expect_directory_left(&archive);
                volume.gone().await?;
                world.nothing_at(directory).await?;
                world.unchanged(&archive, data).await?;
            }
            (true, false) => {
                volume.expect_left()?;
                volume.stays_released().await?;
                world.unchanged(directory, data).await?;
            }
            (false, _) => {
                volume.gone().await?;
                world.nothing_at(directory).await?;
                world.nothing_at(&archive_of(directory)).await?;
            }
        }
    }
    Ok(())
}

/// A class whose directories are kept after deletion, or one whose are dropped, by every parameter
/// that the subject declares; without one, by the reclaim policy.
async fn class(world: &World, label: &str) -> CaseResult<StorageClass> {
    let keep = label == "kept";
    let subject = world.subject();
    let mut class = world.class(label).without_parameter("onDelete");
    if subject.declares(Feature::PathPattern) {
        let pattern = format!("{}-{label}", world.annotation_pattern(KEY));
        class = class.parameter("pathPattern", &pattern);
    }
    class = match (subject.declares(Feature::Archive), keep) {
        (true, _) => class.parameter("archiveOnDelete", &keep.to_string()),
        (false, true) => class.reclaim_policy("Retain"),
        (false, false) => class.reclaim_policy("Delete"),
    };
    class.create().await
}

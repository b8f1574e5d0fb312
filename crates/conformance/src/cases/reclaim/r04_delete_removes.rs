//! Source: nfs-subdir-external-provisioner, README (`archiveOnDelete` false, `onDelete` delete).

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;

/// With `archiveOnDelete` false, or `onDelete` `delete`, the directory MUST be gone, and no archive
/// be made of it.
pub(crate) const CASE: Case = Case::new("R04", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let base = |label: &str| {
        let class = world.class(label).reclaim_policy("Delete");
        class
            .without_parameter("onDelete")
            .without_parameter("archiveOnDelete")
    };
    let mut classes = vec![("false", base("false").parameter("archiveOnDelete", "false"))];
    if world.subject().declares(Feature::OnDelete) {
        classes.push(("delete", base("delete").parameter("onDelete", "delete")));
    }
    for (name, class) in classes {
        let class = class.create().await?;
        let claim = world
            .claim(&format!("by-{name}"))
            .class(&class)
            .create()
            .await?;
        let volume = claim.bound().await?;
        let directory = volume.existing_directory().await?;
        world.fill(&directory).await?;
        claim.delete_and_wait().await?;
        volume.gone().await?;
        world.nothing_at(&directory).await?;

        let (parent, last) = directory.rsplit_once('/').unwrap_or(("", &directory));
        let left = world.export().list(parent).await?;
        let left: Vec<_> = left
            .into_iter()
            .filter(|entry| entry.contains(last))
            .collect();
        ensure(
            left.is_empty(),
            format!("nothing on the export bears the name {last}"),
            || format!("there is {}", left.join(", ")),
        )?;
    }
    Ok(())
}

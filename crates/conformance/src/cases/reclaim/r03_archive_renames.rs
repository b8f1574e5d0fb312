//! Source: nfs-subdir-external-provisioner, README (`archiveOnDelete`, true when it is unset).

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::export::archive_of;

/// With `archiveOnDelete` true or unset the directory MUST be renamed `archived-<base>` with its
/// content as it was, and the volume object go.
pub(crate) const CASE: Case = Case::new("R03", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let base = |label: &str| {
        let class = world.class(label).reclaim_policy("Delete");
        class
            .without_parameter("onDelete")
            .without_parameter("pathPattern")
    };
    let unset = base("unset")
        .without_parameter("archiveOnDelete")
        .create()
        .await?;
    let set = base("true")
        .parameter("archiveOnDelete", "true")
        .create()
        .await?;
    let claims = [
        world.claim("by-unset").class(&unset).create().await?,
        world.claim("by-true").class(&set).create().await?,
    ];
    for claim in &claims {
        let volume = claim.bound().await?;
        let directory = volume.existing_directory().await?;
        let data = world.fill(&directory).await?;
        let archive = archive_of(&directory);
        world.expect_directory_left(&archive);
        claim.delete_and_wait().await?;
        volume.gone().await?;
        world.nothing_at(&directory).await?;
        world.unchanged(&archive, &data).await?;
    }
    Ok(())
}

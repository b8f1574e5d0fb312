//! Source: Kubernetes documentation, `StatefulSet`, "Stable Storage": deleting a set does not delete
//! the claims of its pods.

use kube::ResourceExt;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// The claims of a set MUST remain when it is deleted, unless it says otherwise.
pub(crate) const CASE: Case = Case::new("T09", |world| Box::pin(run(world)));

const REPLICAS: i32 = 2;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world
        .statefulset("web")
        .replicas(REPLICAS)
        .template("data", &class);
    let set = set.create().await?;
    set.served("data").await?;
    set.ready(REPLICAS).await?;
    let mut before = Vec::new();
    for volume in set.volumes("data", REPLICAS).await? {
        let directory = volume.existing_directory().await?;
        let content = world.fill(&directory).await?;
        before.push((volume, directory, content));
    }

    // In the foreground: when the set is gone, the garbage collector has taken its pods.
    set.delete_and_wait().await?;
    world.control(&class).await?.existing_directory().await?;
    for (at, volume) in set.volumes("data", REPLICAS).await?.iter().enumerate() {
        let (earlier, directory, content) = &before[at];
        let claim = &volume.claim;
        ensure_eq("the UID of the claim", &claim.uid(), &earlier.claim.uid())?;
        ensure_eq("its volume", &volume.name(), &earlier.name())?;
        ensure_eq("its directory", &volume.directory()?, directory)?;
        // An owner would take it along sooner or later.
        let kept =
            claim.owner_references().is_empty() && claim.metadata.deletion_timestamp.is_none();
        ensure(
            kept,
            format!("claim {} is nobody's and stays", claim.name_any()),
            || {
                let owners = claim.owner_references();
                format!(
                    "owners {owners:?}, deleted at {:?}",
                    claim.metadata.deletion_timestamp
                )
            },
        )?;
        world.unchanged(directory, content).await?;
    }
    Ok(())
}

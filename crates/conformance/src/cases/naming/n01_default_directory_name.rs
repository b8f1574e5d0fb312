//! Source: nfs-subdir-external-provisioner, README (the layout of the export).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// Without a pattern the directory MUST be named `<namespace>-<claim>-<volume>`, and the source be
/// the configured server and the export's path with that name below it.
pub(crate) const CASE: Case = Case::new("N01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("plain")
        .without_parameter("pathPattern")
        .create()
        .await?;
    let claims = [
        world.claim("data").class(&class).create().await?,
        // Dots and dashes are kept as they are.
        world.claim("data.v1-x").class(&class).create().await?,
    ];
    let export = &world.testbed().export;
    for claim in &claims {
        let volume = claim.bound().await?;
        let directory = format!("{}-{}-{}", world.namespace(), claim.name(), volume.name());
        let source = volume.spec().nfs.unwrap_or_default();
        let path = format!("{}/{directory}", export.path.trim_end_matches('/'));
        ensure_eq("the path of the source", &source.path, &path)?;
        ensure_eq("the server of the source", &source.server, &export.server)?;
        world.directory_exists(&directory).await?;
    }
    Ok(())
}

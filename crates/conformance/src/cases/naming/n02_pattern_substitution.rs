//! Source: nfs-subdir-external-provisioner, README (`pathPattern`) and #59 (keys that hold dots).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A pattern's namespace, name, labels and annotations MUST be replaced by those of the claim.
pub(crate) const CASE: Case = Case::new("N02", |world| Box::pin(run(world)));

/// One component with every kind of value, and keys with dots and slashes.
const FLAT: &str = "${.PVC.namespace}-flat-${.PVC.name}-${.PVC.labels.team}\
    -${.PVC.labels.app.kubernetes.io/name}-${.PVC.annotations.nfs.io/storage-path}";
/// The pattern of the README.
const README: &str = "${.PVC.namespace}/${.PVC.annotations.nfs.io/storage-path}";

async fn run(world: &World) -> CaseResult {
    let namespace = world.namespace();
    let flat = world
        .class("flat")
        .parameter("pathPattern", &world.pattern(FLAT))
        .create()
        .await?;
    let readme = world
        .class("readme")
        .parameter("pathPattern", &world.pattern(README))
        .create()
        .await?;
    // The directory made on the way stays, unless the subject is asked to remove it.
    for place in world.places_for(namespace) {
        world.expect_directory_left(&place);
    }

    // Two claims of each class: what was rendered for the first says nothing about the second.
    let mut claims = Vec::new();
    for (name, team, app, path) in [
        ("one", "red", "web", "first"),
        ("two", "blue", "db", "other"),
    ] {
        for (class, label) in [(&flat, "flat"), (&readme, "readme")] {
            let claim = world.claim(&format!("{label}-{name}")).class(class);
            let claim = claim
                .label("team", team)
                .label("app.kubernetes.io/name", app);
            let claim = claim
                .annotation("nfs.io/storage-path", path)
                .create()
                .await?;
            let wanted = match label {
                "flat" => format!("{namespace}-flat-flat-{name}-{team}-{app}-{path}"),
                _ => format!("{namespace}/{path}"),
            };
            claims.push((claim, wanted));
        }
    }
    for (claim, wanted) in claims {
        let volume = claim.bound().await?;
        let what = format!("the directory of the volume of claim {}", claim.name());
        let directory = volume.directory()?;
        ensure_eq(&what, &world.own_path(&directory), &wanted)?;
        volume.existing_directory().await?;
    }
    Ok(())
}

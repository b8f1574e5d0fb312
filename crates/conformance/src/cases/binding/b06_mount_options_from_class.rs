//! Source: storage classes documentation (volumes of a class have the class's mount options).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume's mount options MUST be those of its class, in the class's order; a class without any
/// gives a volume without any.
pub(crate) const CASE: Case = Case::new("B06", |world| Box::pin(run(world)));

/// Not in the order of the alphabet, and one with a value: sorting or splitting them would show.
const OPTIONS: &[&str] = &["noatime", "hard", "timeo=100"];

async fn run(world: &World) -> CaseResult {
    let with = world.class("with").mount_options(OPTIONS).create().await?;
    let without = world.class("without").mount_options(&[]).create().await?;
    let claims = [
        (world.claim("with").class(&with).create().await?, OPTIONS),
        (world.claim("without").class(&without).create().await?, &[]),
    ];
    for (claim, options) in &claims {
        let volume = claim.bound().await?;
        volume.existing_directory().await?;
        let given = volume.spec().mount_options.unwrap_or_default();
        let what = format!(
            "the list of mount options of the volume of claim {}",
            claim.name()
        );
        ensure_eq(&what, &given.as_slice(), options)?;
    }
    Ok(())
}

//! Source: Kubernetes documentation, persistent volumes, "Access Modes".

use std::collections::BTreeSet;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// Claims for `ReadWriteOnce`, `ReadOnlyMany` and `ReadWriteMany` MUST all be bound. The rule names no
/// feature: a subject without `rwx` fails it. What `rwx` promises beyond that is the business of M03.
pub(crate) const CASE: Case = Case::new("M02", |world| Box::pin(run(world)));

const MODES: &[(&str, &str)] = &[
    ("rwo", "ReadWriteOnce"),
    ("rox", "ReadOnlyMany"),
    ("rwx", "ReadWriteMany"),
];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let mut claims = Vec::new();
    for &(name, mode) in MODES {
        claims.push((
            mode,
            world
                .claim(name)
                .class(&class)
                .access_modes(&[mode])
                .create()
                .await?,
        ));
    }
    let mut directories = BTreeSet::new();
    for (mode, claim) in claims {
        let volume = claim.bound().await?;
        let granted = volume.spec().access_modes.unwrap_or_default();
        ensure_eq(
            &format!("the access modes of the volume of {}", claim.name()),
            &granted,
            &[mode],
        )?;
        let directory = volume.existing_directory().await?;
        ensure(
            directories.insert(directory.clone()),
            "each claim has its own directory",
            || format!("{directory} stands behind two claims"),
        )?;
    }
    Ok(())
}

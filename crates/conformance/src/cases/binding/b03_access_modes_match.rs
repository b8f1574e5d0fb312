//! Source: volume-provisioning proposal, step 5 (the volume's access modes are the claim's).

use std::collections::BTreeSet;

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume's access modes MUST be those of its claim, no fewer and no others. A subject that does not
/// declare `rwx` may refuse the modes for several nodes with an event.
pub(crate) const CASE: Case = Case::new("B03", |world| Box::pin(run(world)));

const MODES: &[&[&str]] = &[
    &["ReadWriteOnce"],
    &["ReadOnlyMany"],
    &["ReadWriteMany"],
    &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let mut claims = Vec::new();
    for (at, modes) in MODES.iter().enumerate() {
        let claim = world
            .claim(&format!("data-{at}"))
            .class(&class)
            .access_modes(modes);
        claims.push((modes, claim.create().await?));
    }
    for (modes, claim) in claims {
        // Modes for several nodes may be refused by a subject that does not declare them.
        let optional = *modes != MODES[0] && !world.subject().declares(Feature::Rwx);
        if optional && claim.bound_or_refused().await?.is_none() {
            claim.not_served().await?;
            continue;
        }
        // The control plane binds no volume that lacks a mode: it is judged before that.
        let volume = claim.provisioned().await?;
        let given = volume.spec().access_modes.unwrap_or_default();
        let given: BTreeSet<&str> = given.iter().map(String::as_str).collect();
        let asked: BTreeSet<&str> = modes.iter().copied().collect();
        let what = format!(
            "the set of access modes of the volume of claim {}",
            claim.name()
        );
        ensure_eq(&what, &given, &asked)?;
        claim.bound().await?.existing_directory().await?;
    }
    Ok(())
}

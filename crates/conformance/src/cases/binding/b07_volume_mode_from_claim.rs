//! Source: API, `PersistentVolumeClaimSpec.volumeMode` (Filesystem when unset).

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume's mode MUST be its claim's, and Filesystem when the claim sets none.
pub(crate) const CASE: Case = Case::new("B07", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let mut wanted = vec![("unset", None), ("filesystem", Some("Filesystem"))];
    if world.subject().declares(Feature::Block) {
        wanted.push(("block", Some("Block")));
    }
    let mut claims = Vec::new();
    for (name, mode) in wanted {
        let claim = world.claim(name).class(&class);
        let claim = claim.with(|spec| spec.volume_mode = mode.map(str::to_owned));
        claims.push((claim.create().await?, mode.unwrap_or("Filesystem")));
    }
    for (claim, mode) in claims {
        // The control plane binds no volume of another mode: it is judged before that.
        let volume = claim.provisioned().await?;
        let what = format!("volumeMode of the volume of claim {}", claim.name());
        ensure_eq(&what, &volume.spec().volume_mode.as_deref(), &Some(mode))?;
        let volume = claim.bound().await?;
        if mode == "Filesystem" {
            volume.existing_directory().await?;
        }
    }
    Ok(())
}

//! Source: volume-provisioning proposal, step 2 (a claim that names its volume is not provisioned).

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::events::in_one_line;

/// A claim whose `volumeName` is set MUST be left alone, also when it is annotated for the subject.
pub(crate) const CASE: Case = Case::new("B11", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    // A volume made against the rule is released at once: with Retain it stays to be seen.
    let retain = world
        .class("retain")
        .reclaim_policy("Retain")
        .create()
        .await?;
    let missing = world.unique("missing");
    let names = |spec: &mut k8s_openapi::api::core::v1::PersistentVolumeClaimSpec| {
        spec.volume_name = Some(missing.clone());
    };
    let plain = world
        .claim("prebound")
        .class(&retain)
        .with(names)
        .create()
        .await?;
    let handed = world.claim("prebound-handed").class(&retain).with(names);
    let handed = handed
        .handed_to(&world.subject().provisioner)
        .create()
        .await?;
    let class = world.class("plain").create().await?;
    world.control(&class).await?.existing_directory().await?;

    for claim in [plain, handed] {
        let name = claim.name();
        claim.has_no_volume_or_directory().await?;
        let Some(now) = claim.now().await? else {
            return Err(Trouble::failed(format!("claim {name} stays"), "it is gone"));
        };
        let phase = now.status.and_then(|status| status.phase);
        ensure_eq(
            &format!("the phase of claim {name}"),
            &phase.as_deref(),
            &Some("Pending"),
        )?;
        let volume = now.spec.and_then(|spec| spec.volume_name);
        ensure_eq(
            &format!("volumeName of claim {name}"),
            &volume.as_ref(),
            &Some(&missing),
        )?;
        let events = world.subject_events_of(&claim.uid()).await?;
        ensure(
            events.is_empty(),
            format!("the subject writes no event about claim {name}"),
            || {
                events
                    .iter()
                    .map(in_one_line)
                    .collect::<Vec<_>>()
                    .join("; ")
            },
        )?;
    }
    Ok(())
}

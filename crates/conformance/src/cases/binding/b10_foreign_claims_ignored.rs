//! Source: volume-provisioning proposal, step 1 (a provisioner acts on claims annotated with its
//! own name only).

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure};
use crate::world::World;
use crate::world::events::in_one_line;

/// A claim annotated for another provisioner MUST get no volume, no directory and no event from the
/// subject, also when the other name begins with the subject's.
pub(crate) const CASE: Case = Case::new("B10", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let ours = &world.subject().provisioner;
    let others = ["elsewhere.example/nfs".to_owned(), format!("{ours}-other")];
    let mut foreign = Vec::new();
    for (at, other) in others.iter().enumerate() {
        let class = world
            .class(&format!("foreign-{at}"))
            .provisioner(other)
            .create()
            .await?;
        let claim = world
            .claim(&format!("foreign-{at}"))
            .class(&class)
            .create()
            .await?;
        handed_over(world, &claim.name()).await?;
        foreign.push(claim);
    }
    let class = world.class("plain").create().await?;
    world.control(&class).await?.existing_directory().await?;

    for claim in foreign {
        claim.not_served().await?;
        let events = world.subject_events_of(&claim.uid()).await?;
        ensure(
            events.is_empty(),
            format!("the subject writes no event about claim {}", claim.name()),
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

/// Until the controller-manager has annotated the claim, no provisioner has a reason to look at it.
async fn handed_over(world: &World, name: &str) -> CaseResult {
    let what = format!("claim {name} is annotated for its provisioner");
    world
        .eventually(
            name,
            what,
            Limit::ControlPlane,
            |claim: Option<&PersistentVolumeClaim>| {
                let keys = claim?.annotations().keys();
                keys.into_iter()
                    .any(|key| key.ends_with("/storage-provisioner"))
                    .then_some(())
            },
        )
        .await
}

//! Source: volume-provisioning proposal, general duties and step 4 (a failure is reported by an
//! event on the claim).
//!
//! The refusals judged are those that the subject has to make: of a parameter nobody knows, and of
//! what it does not declare.

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::case::Case;
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;

/// Every failure to provision SHOULD give a Warning event `ProvisioningFailed` that names its
/// cause.
pub(crate) const CASE: Case = Case::new("E02", |world| Box::pin(run(world)));

/// A parameter that no provisioner has; the event has to hold its name.
const UNKNOWN: &str = "claimcheckNoSuchParameter";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let odd = world.class("odd").parameter(UNKNOWN, "1").create().await?;

    let mut refused = vec![(UNKNOWN, world.claim("unknown").class(&odd).create().await?)];
    if !world.subject().declares(Feature::Block) {
        let claim = world
            .claim("block")
            .class(&class)
            .with(block)
            .create()
            .await?;
        refused.push(("block", claim));
    }
    if !world.subject().declares(Feature::Selector) {
        let claim = world
            .claim("selecting")
            .class(&class)
            .with(selector)
            .create()
            .await?;
        refused.push(("selector", claim));
    }
    let mut failures = Vec::new();
    for (cause, claim) in &refused {
        // What is served, though it should not be, is no failure to tell of: that it is served is the
        // business of the rule about it.
        match claim.bound_or_refused().await {
            Ok(Some(_)) => continue,
            Err(Trouble::Inconclusive(why)) => return Err(Trouble::Inconclusive(why)),
            Ok(None) | Err(Trouble::Failed(_)) => {}
        }
        world.refused(&claim.uid(), cause).await?;
        failures.push(claim);
    }
    ensure(
        !failures.is_empty(),
        "at least one claim that cannot be served is refused",
        || "every one of them is Bound".to_owned(),
    )?;

    world.control(&class).await?.existing_directory().await?;
    for claim in failures {
        claim.still_pending().await?;
        claim.has_no_volume_or_directory().await?;
    }
    Ok(())
}

fn block(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode = Some("Block".to_owned());
}

fn selector(spec: &mut PersistentVolumeClaimSpec) {
    let labels = [("tier".to_owned(), "gold".to_owned())].into();
    spec.selector = Some(LabelSelector {
        match_labels: Some(labels),
        ..LabelSelector::default()
    });
}

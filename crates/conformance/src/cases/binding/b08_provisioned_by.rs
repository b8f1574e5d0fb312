//! Source: volume-provisioning proposal, step 5 (the annotation by which a provisioner, and the
//! controller-manager, know whose volume it is).

use kube::ResourceExt;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume MUST carry the provisioner's name, exactly as its class has it, in the annotation
/// `pv.kubernetes.io/provisioned-by`.
pub(crate) const CASE: Case = Case::new("B08", |world| Box::pin(run(world)));

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let volume = world.control_named("data", &class).await?;
    volume.existing_directory().await?;
    let named = volume.object.annotations().get(PROVISIONED_BY);
    ensure_eq(
        &format!("annotation {PROVISIONED_BY} of volume {}", volume.name()),
        &named,
        &Some(&world.subject().provisioner),
    )
}

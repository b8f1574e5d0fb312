//! Source: volume-provisioning proposal, step 4 (a provisioner checks every parameter, and refuses
//! a claim whose class has one that it does not know).

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A class with a parameter that the subject does not know MUST give a Warning event
/// `ProvisioningFailed` and no volume.
pub(crate) const CASE: Case = Case::new("P01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let unknown = world
        .class("unknown")
        .parameter("claimcheckNoSuchParameter", "1");
    let claim = world
        .claim("refused")
        .class(&unknown.create().await?)
        .create()
        .await?;
    // The same class without that parameter is served.
    let class = world.class("plain").create().await?;
    world.control(&class).await?.existing_directory().await?;

    claim.refused().await
}

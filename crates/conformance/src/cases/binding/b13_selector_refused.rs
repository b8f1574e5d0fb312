//! Source: volume-provisioning proposal, step 4; persistent volumes documentation (a claim with a
//! selector cannot have a volume provisioned, unless the provisioner says that it can).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A claim with a selector, which the subject does not support, MUST be refused with a Warning
/// event `ProvisioningFailed`, and get no volume and no directory.
pub(crate) const CASE: Case = Case::new("B13", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let selector = LabelSelector {
        match_labels: Some(BTreeMap::from([("tier".to_owned(), "gold".to_owned())])),
        ..LabelSelector::default()
    };
    let claim = world.claim("choosy").class(&class);
    let claim = claim
        .with(|spec| spec.selector = Some(selector))
        .create()
        .await?;
    world.control(&class).await?.existing_directory().await?;

    claim.refused().await
}

//! Source: persistent volumes documentation (the empty class name asks for a volume without a
//! class, and turns dynamic provisioning off).

use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;

/// A claim whose `storageClassName` is empty MUST never be provisioned, not even when it is
/// annotated for the subject by hand.
pub(crate) const CASE: Case = Case::new("B15", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let plain = world.claim("classless").class_name("").create().await?;
    let handed = world.claim("classless-handed").class_name("");
    let handed = handed
        .handed_to(&world.subject().provisioner)
        .create()
        .await?;
    // The controller-manager has looked at it, and found nothing to bind it to.
    world.event(&plain.uid(), "Normal", "FailedBinding").await?;
    let class = world.class("plain").create().await?;
    world.control(&class).await?.existing_directory().await?;

    for claim in [plain, handed] {
        claim.not_served().await?;
    }
    Ok(())
}

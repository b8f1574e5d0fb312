//! Source: volume-provisioning proposal, step 5 (the volume carries the name of the claim's class).

use kube::ResourceExt;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// A volume's `storageClassName` MUST be the claim's class, also when several classes name the
/// provisioner, and when the claim names its class by the older annotation.
pub(crate) const CASE: Case = Case::new("B04", |world| Box::pin(run(world)));

/// The older way to name a class, which wins over the field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

async fn run(world: &World) -> CaseResult {
    let one = world.class("one").create().await?;
    let two = world.class("two").create().await?;
    let claims = [
        (world.claim("of-one").class(&one).create().await?, &one),
        (world.claim("of-two").class(&two).create().await?, &two),
        (
            world
                .claim("by-beta")
                .annotation(BETA_CLASS, &two.name_any())
                .create()
                .await?,
            &two,
        ),
    ];
    for (claim, class) in &claims {
        // The control plane binds no volume of another class: it is judged before that.
        let volume = claim.provisioned().await?;
        let what = format!("storageClassName of the volume of claim {}", claim.name());
        ensure_eq(
            &what,
            &volume.spec().storage_class_name,
            &Some(class.name_any()),
        )?;
        claim.bound().await?.existing_directory().await?;
    }
    Ok(())
}

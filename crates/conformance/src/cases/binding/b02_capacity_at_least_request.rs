//! Source: volume-provisioning proposal, step 5 (the volume's capacity covers the request).

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::millibytes;
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;

/// A volume's capacity MUST NOT be below the claim's request.
pub(crate) const CASE: Case = Case::new("B02", |world| Box::pin(run(world)));

/// Whole and broken numbers, powers of two and of ten, below and above the suite's usual 1 MiB.
const REQUESTS: &[&str] = &["1", "1500Ki", "3M", "1.5Mi", "2e6", "64Mi"];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let mut claims = Vec::new();
    for (at, request) in REQUESTS.iter().enumerate() {
        let claim = world
            .claim(&format!("data-{at}"))
            .class(&class)
            .request(request);
        claims.push((request, claim.create().await?));
    }
    for (request, claim) in claims {
        // The control plane binds no volume that is too small: it is judged before that.
        let volume = claim.provisioned().await?;
        let capacity = volume.spec().capacity.unwrap_or_default().remove("storage");
        let Quantity(capacity) = capacity.unwrap_or_default();
        let requested = millibytes(request)
            .ok_or_else(|| Trouble::inconclusive(format!("{request} is no quantity")))?;
        ensure(
            millibytes(&capacity).is_some_and(|capacity| capacity >= requested),
            format!("the capacity of the volume of a claim of {request} is at least that"),
            || format!("its capacity is {capacity:?}"),
        )?;
        claim.bound().await?.existing_directory().await?;
    }
    Ok(())
}

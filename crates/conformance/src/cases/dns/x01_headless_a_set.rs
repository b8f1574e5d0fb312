//! Source: DNS-based service discovery 1.1.0, section 2.4.1.

use super::{addresses, running_set};
use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::dns::Record;

/// The name of a headless service MUST be answered with exactly the addresses of its ready
/// endpoints.
pub(crate) const CASE: Case = Case::new("X01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let set = running_set(world, "web", 3).await?;
    // A pod that the service does not select is no endpoint of it.
    world.pod("outsider", &[]).await?;
    world.pod_ready("outsider").await?;
    let all = addresses(world, &set, 3).await?.into_iter().collect();
    world
        .resolves_to(&world.service_name(&set.service), Record::A, &all)
        .await
}

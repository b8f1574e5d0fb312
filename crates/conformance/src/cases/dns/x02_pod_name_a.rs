//! Source: DNS-based service discovery 1.1.0, section 2.4.1; Kubernetes documentation, `StatefulSet`,
//! "Stable Network ID".

use super::{addresses, only, pod_name, running_set};
use crate::case::Case;
use crate::trouble::CaseResult;
use crate::world::World;
use crate::world::dns::Record;

/// The name of each pod below its headless service MUST be answered with that pod's address alone.
pub(crate) const CASE: Case = Case::new("X02", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let set = running_set(world, "web", 3).await?;
    for (ordinal, address) in (0..).zip(addresses(world, &set, 3).await?) {
        let name = pod_name(world, &set, ordinal);
        world.resolves_to(&name, Record::A, &only(&address)).await?;
    }
    Ok(())
}

//! Source: walkthrough step 12.

use super::{REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;

/// Each of the set's claims `www-web-N` MUST be Bound to a volume and directory of its own.
pub(crate) const CASE: Case = Case::step("G12", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    let names: Vec<_> = (0..REPLICAS)
        .map(|ordinal| set.claim_name("www", ordinal))
        .collect();
    ensure_eq(
        "the claims",
        &names,
        &["www-web-0", "www-web-1", "www-web-2"],
    )?;
    own_volumes(world, &set, REPLICAS).await.map(drop)
}

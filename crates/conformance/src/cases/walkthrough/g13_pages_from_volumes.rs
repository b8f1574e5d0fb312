//! Source: walkthrough step 13.

use std::time::Duration;

use kube::ResourceExt;

use super::{PAGES, REPLICAS, SET_WITH_VOLUMES, class, own_volumes, start_set};
use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::pods::{Shell, address};
use crate::world::workload::Set;

/// Each pod MUST serve its own page from its volume, and the page MUST survive the pod.
pub(crate) const CASE: Case = Case::step("G13", |world| Box::pin(run(world)));

/// A web server has no watch: the pause between two tries to reach one that has just been started.
const PAUSE: Duration = Duration::from_millis(200);

async fn run(world: &World) -> CaseResult {
    class(world, "nfs").await?;
    let set = start_set(world, SET_WITH_VOLUMES, false).await?;
    set.ready(REPLICAS).await?;
    let mut pages = Vec::new();
    for (ordinal, volume) in (0..).zip(own_volumes(world, &set, REPLICAS).await?) {
        let directory = volume.directory()?;
        world
            .pod_writes(&set.pod(ordinal), PAGES, &directory, "index.html")
            .await?;
        let page = world
            .export()
            .read(&format!("{directory}/index.html"))
            .await?;
        pages.push((directory, String::from_utf8_lossy(&page).into_owned()));
    }
    let visitor = world.shell("visitor").create().await?;
    visitor.ready().await?;
    served(world, &visitor, &set, &pages).await?;

    let mut uids = Vec::new();
    for ordinal in 0..REPLICAS {
        let pod = set.pod(ordinal);
        let uid = world.pod_ready(&pod).await?.uid().unwrap_or_default();
        world.delete_pod(&pod).await?;
        uids.push((pod, uid));
    }
    for (pod, uid) in &uids {
        world.pod_back(pod, uid).await?;
    }
    set.ready(REPLICAS).await?;
    served(world, &visitor, &set, &pages).await
}

/// Each pod serves the page that is in its own volume, which is its own.
async fn served(
    world: &World,
    visitor: &Shell<'_>,
    set: &Set<'_>,
    pages: &[(String, String)],
) -> CaseResult {
    for (ordinal, (directory, page)) in (0..).zip(pages) {
        let name = set.pod(ordinal);
        let pod = world.pod_ready(&name).await?;
        let address = address(&pod)
            .ok_or_else(|| Trouble::inconclusive(format!("pod {name} has no address")))?;
        let shown = fetch(world, visitor, address).await?;
        ensure_eq(&format!("the page of pod {name}"), &shown, page)?;
        world.same_in_pod(&name, PAGES, directory).await?;
    }
    Ok(())
}

/// The page at `/` of this address, as a pod gets it. A pod without a probe is Ready a moment before
/// its server listens: what cannot be reached is tried again, what answers is taken as it is.
async fn fetch(world: &World, visitor: &Shell<'_>, address: &str) -> CaseResult<String> {
    let wait = world.wait(
        format!("http://{address}/ answers a pod"),
        Limit::ControlPlane,
    );
    let deadline = tokio::time::Instant::now() + wait.duration;
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        let script = format!("wget -q -T 5 -O - 'http://{address}/'");
        let output = visitor.output(&script).await?;
        if output.code == 0 {
            return Ok(output.stdout);
        }
        if tokio::time::Instant::now() >= deadline {
            let seconds = wait.duration.as_secs();
            let expected = format!("{} within {seconds} s (limit {})", wait.what, wait.limit);
            return Err(Trouble::failed(
                expected,
                output.stderr.trim_end().to_owned(),
            ));
        }
    }
}

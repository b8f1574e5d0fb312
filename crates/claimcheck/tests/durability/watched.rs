//! Waits on watches, for many objects at once.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::Api;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

/// How long some hundreds of claims may take on a slow machine.
const LIMIT: Duration = Duration::from_mins(3);

/// Objects by name.
pub(crate) type Seen<K> = BTreeMap<String, K>;

/// Follows all objects of a kind until `wanted` says `Ok` of them; the last `Err` tells what was
/// missing.
pub(crate) async fn watched<K>(
    api: Api<K>,
    what: &str,
    mut wanted: impl FnMut(&Seen<K>) -> Result<(), String>,
) -> Result<Seen<K>, String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let end = Instant::now() + LIMIT;
    let mut changes = pin!(watcher(api, Config::default()));
    let (mut seen, mut listed) = (Seen::new(), false);
    let mut missing = "nothing was listed".to_owned();
    loop {
        let Ok(event) = timeout_at(end, changes.next()).await else {
            return Err(format!("{what} not within {LIMIT:?}: {missing}"));
        };
        match event {
            Some(Ok(Event::Init)) => {
                seen.clear();
                listed = false;
            }
            Some(Ok(Event::InitApply(object) | Event::Apply(object))) => {
                seen.insert(object.name_any(), object);
            }
            Some(Ok(Event::Delete(object))) => {
                seen.remove(&object.name_any());
            }
            Some(Ok(Event::InitDone)) => listed = true,
            Some(Err(error)) => missing = error.to_string(),
            None => return Err(format!("{what}: the watch ended; {missing}")),
        }
        if listed {
            match wanted(&seen) {
                Ok(()) => return Ok(seen),
                Err(more) => missing = more,
            }
        }
    }
}

/// Whether a claim is Bound.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let status = claim.status.as_ref();
    status.and_then(|status| status.phase.as_deref()) == Some("Bound")
}

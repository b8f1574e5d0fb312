//! Whose a thing is. In a namespace of its own everything is the case's; in another one only what
//! the case names and what was not there before it.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::World;
use crate::expect::Watched;
use crate::tracker::{Kind, Tracked};
use crate::trouble::CaseResult;

/// What was there before a case that works in a namespace of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    /// Objects by kind and name.
    objects: BTreeSet<(Kind, String)>,
    /// Names of events of the namespace.
    events: BTreeSet<String>,
    /// Entries of the export, as [`World::entries`] gives them.
    entries: BTreeSet<String>,
}

impl Baseline {
    /// What is there now.
    pub(super) async fn of(world: &World) -> CaseResult<Self> {
        let mut objects = BTreeSet::new();
        objects.extend(names(Kind::Claim, world.api::<PersistentVolumeClaim>()).await?);
        objects.extend(names(Kind::Pod, world.api::<Pod>()).await?);
        objects.extend(names(Kind::Service, world.api::<Service>()).await?);
        objects.extend(names(Kind::StatefulSet, world.api::<StatefulSet>()).await?);
        objects.extend(names(Kind::Volume, world.cluster_api::<PersistentVolume>()).await?);
        let classes = world.cluster_api::<StorageClass>();
        objects.extend(names(Kind::Class, classes).await?);
        let events = world.api::<Event>().list(&ListParams::default()).await?;
        let events = events.iter().map(ResourceExt::name_any).collect();
        let entries = world.entries().await?.into_iter().collect();
        Ok(Self {
            objects,
            events,
            entries,
        })
    }
}

async fn names<K: Watched>(kind: Kind, api: Api<K>) -> CaseResult<Vec<(Kind, String)>> {
    let found = api.list(&ListParams::default()).await?;
    Ok(found
        .iter()
        .map(|object| (kind, object.name_any()))
        .collect())
}

impl World {
    /// Whether an object was there before the case. Without a baseline nothing is known to be new.
    pub(super) fn was_there(&self, kind: Kind, name: &str) -> bool {
        !self.own_namespace
            && self
                .baseline
                .get()
                .is_none_or(|there| there.objects.contains(&(kind, name.to_owned())))
    }

    /// Whether the export had the entry that holds `path` before the case.
    pub(super) fn entry_was_there(&self, path: &str) -> bool {
        let entry = self.entry_of(path);
        !self.own_namespace
            && self
                .baseline
                .get()
                .is_none_or(|there| there.entries.contains(entry))
    }

    /// Whether an event of the namespace was written since the case began.
    pub(crate) fn is_new_event(&self, event: &Event) -> bool {
        self.own_namespace
            || self
                .baseline
                .get()
                .is_some_and(|there| !there.events.contains(&event.name_any()))
    }

    /// Whether the claim of this name is the case's.
    pub(super) fn owns_claim(&self, name: &str) -> bool {
        self.own_namespace || self.tracks(Kind::Claim, name) && !self.was_there(Kind::Claim, name)
    }

    /// Whether a pod is the case's: its own, or one of its sets'.
    pub(super) fn owns_pod(&self, pod: &Pod) -> bool {
        let name = pod.name_any();
        let of_set = || {
            pod.owner_references().iter().any(|owner| {
                owner.kind == "StatefulSet" && self.tracks(Kind::StatefulSet, &owner.name)
            })
        };
        self.own_namespace
            || !self.was_there(Kind::Pod, &name) && (self.tracks(Kind::Pod, &name) || of_set())
    }

    /// Whether a volume was made for a claim of the case.
    pub(super) fn owns_volume(&self, volume: &PersistentVolume) -> bool {
        let reference = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.claim_ref.as_ref());
        reference.is_some_and(|reference| {
            reference.namespace.as_deref() == Some(self.namespace())
                && !self.was_there(Kind::Volume, &volume.name_any())
                && self.owns_claim(reference.name.as_deref().unwrap_or_default())
        })
    }

    /// Whether an entry of the export belongs to this case by its name.
    pub(crate) fn bears_our_name(&self, entry: &str) -> bool {
        if self.own_namespace {
            return entry.contains(&self.namespace);
        }
        !self.entry_was_there(entry)
            && self.tracker.newest_first().iter().any(|thing| {
                matches!(thing, Tracked::Object { kind: Kind::Claim, name, .. }
                    if is_directory_of(self.own_path(entry), self.namespace(), name))
            })
    }

    /// Whether the case tracks an object of this name.
    pub(super) fn tracks(&self, kind: Kind, name: &str) -> bool {
        self.tracker.newest_first().iter().any(|thing| {
            matches!(thing, Tracked::Object { kind: tracked, name: named, .. }
                if *tracked == kind && named == name)
        })
    }
}

/// Whether an entry is the directory, or the archive, of a claim in the usual layout:
/// `<namespace>-<claim>-pvc-<uid>`. `data` is not taken for `data-1`.
fn is_directory_of(entry: &str, namespace: &str, claim: &str) -> bool {
    let entry = entry.strip_prefix("archived-").unwrap_or(entry);
    entry
        .strip_prefix(&format!("{namespace}-{claim}"))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("-pvc-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_by_namespace_and_claim_and_neighbours_are_not_taken_for_it() {
        for entry in [
            "default-data-pvc-1",
            "archived-default-data-pvc-1",
            "default-data",
        ] {
            assert!(is_directory_of(entry, "default", "data"), "{entry}");
        }
        for entry in [
            "default-data-1-pvc-2",
            "default-database-pvc-1",
            "shop-default-data-pvc-1",
        ] {
            assert!(!is_directory_of(entry, "default", "data"), "{entry}");
        }
    }
}

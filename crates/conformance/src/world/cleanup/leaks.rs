//! Finding what a case left: volumes of its claims, and whatever bears its name on the export.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::watcher;

use super::{Leak, Patience, REQUEST_LIMIT, Settled, TREE_LIMIT, World, attempt};
use crate::expect;
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::CaseResult;

/// An export has no watch: the pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

impl World {
    /// Waits until the volumes of the case are gone, and returns those that are not, and whatever
    /// bears the case's name on the export, and were not named.
    pub(super) async fn leaks(&self, tracked: &[Tracked], patience: &Patience) -> Settled {
        let mut settled = Settled::default();
        let ours = |volume: &PersistentVolume| {
            self.owns_volume(volume) && !self.tracks(Kind::Volume, &volume.name_any())
        };
        let wait = self.wait("the volumes of the case are gone", Limit::VolumeReclaimed);
        let volumes = self.cluster_api::<PersistentVolume>();
        let gone =
            expect::eventually_among(&wait, volumes.clone(), watcher::Config::default(), |all| {
                (!all.values().any(ours)).then_some(())
            });
        if patience.with(gone).await.is_err() {
            let listed = async { Ok(volumes.list(&ListParams::default()).await?) };
            let left = attempt(&mut settled.troubles, "the volumes", REQUEST_LIMIT, listed).await;
            for volume in left.into_iter().flatten().filter(|volume| ours(volume)) {
                settled
                    .leaks
                    .push(Leak::new("volume", &volume.name_any(), self.case));
                settled.evidence.push(expect::text(&volume));
            }
        }
        let limit = self.limit(Limit::VolumeReclaimed) + TREE_LIMIT;
        let left = patience.with(self.left_on_export(tracked));
        let left = attempt(&mut settled.troubles, "the export", limit, left).await;
        for entry in left.into_iter().flatten() {
            settled
                .leaks
                .push(Leak::new("directory", &entry, self.case));
        }
        if patience.interrupted.is_cancelled() {
            // It was not given its time: what is there yet is no leak, and is removed all the same.
            settled.troubles.push("interrupted".to_owned());
        }
        settled
    }

    /// What bears this case's name on the export, is not named, and stays: whether a directory goes
    /// before its volume is the business of R01, not of the ledger.
    async fn left_on_export(&self, tracked: &[Tracked]) -> CaseResult<Vec<String>> {
        let named: Vec<&str> = tracked
            .iter()
            .filter_map(|thing| match thing {
                Tracked::Directory(path) => Some(path.as_str()),
                Tracked::Object { .. } => None,
            })
            .collect();
        let deadline = tokio::time::Instant::now() + self.limit(Limit::VolumeReclaimed);
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            let mut left = Vec::new();
            for entry in self.entries().await? {
                if self.bears_our_name(&entry) {
                    left.extend(self.unnamed(entry, &named).await?);
                }
            }
            if left.is_empty() || tokio::time::Instant::now() > deadline {
                return Ok(left);
            }
        }
    }

    /// What of `entry` is not named: nothing when it is named itself; when something below it is,
    /// everything beside that; else the entry.
    async fn unnamed(&self, entry: String, named: &[&str]) -> CaseResult<Vec<String>> {
        let mut left = Vec::new();
        let mut open = vec![entry];
        while let Some(path) = open.pop() {
            match part_of(&path, named) {
                Part::Named => {}
                Part::Above => {
                    let below = self.export().list(&path).await?;
                    open.extend(below.into_iter().map(|name| format!("{path}/{name}")));
                }
                Part::Unnamed => left.push(path),
            }
        }
        left.sort_unstable();
        Ok(left)
    }
}

/// How a path stands to the named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is one of them.
    Named,
    /// One of them is below it.
    Above,
    /// Neither.
    Unnamed,
}

fn part_of(path: &str, named: &[&str]) -> Part {
    let below = |named: &&str| {
        named
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if named.contains(&path) {
        Part::Named
    } else if named.iter().any(below) {
        Part::Above
    } else {
        Part::Unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_names_neither_its_parents_nor_its_neighbours() {
        let named = ["ns/red/archived-data", "kept"];
        assert_eq!(part_of("kept", &named), Part::Named);
        assert_eq!(part_of("ns/red/archived-data", &named), Part::Named);
        assert_eq!(part_of("ns", &named), Part::Above);
        assert_eq!(part_of("ns/red", &named), Part::Above);
        assert_eq!(part_of("ns/red/data", &named), Part::Unnamed);
        assert_eq!(part_of("ns/re", &named), Part::Unnamed);
        assert_eq!(part_of("kept-too", &named), Part::Unnamed);
    }
}

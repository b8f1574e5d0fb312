//! What a run left behind as a whole: volumes and entries of the export that came during it and
//! stayed. What bears the name of a case is that case's failure, however late it came; the rest is
//! told, and charged to nobody, because others may use the cluster too.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::{Finished, RunOptions, records};
use crate::trouble::CaseResult;
use crate::world::Ground;
use crate::world::cleanup::Leak;

/// What stands on both sides at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Volumes that the subject provisioned: name, and namespace of the claim.
    pub(super) volumes: Vec<(String, String)>,
    /// Entries of the export's root, or of the directories of the nodes, with the node before each.
    /// Hidden ones are the subject's own, and not among them.
    pub(super) entries: Vec<String>,
}

impl Standing {
    /// What stands now.
    ///
    /// # Errors
    /// Inconclusive when one side cannot be listed.
    pub(super) async fn of(ground: &Ground) -> CaseResult<Self> {
        let volumes: Api<PersistentVolume> = Api::all(ground.client.clone());
        let volumes = volumes.list(&ListParams::default()).await?;
        let by_subject = |volume: &&PersistentVolume| {
            let by = volume.annotations().get("pv.kubernetes.io/provisioned-by");
            by == Some(&ground.subject.provisioner)
        };
        let volumes = volumes.iter().filter(by_subject).map(|volume| {
            let reference = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.claim_ref.as_ref());
            let namespace = reference.and_then(|reference| reference.namespace.clone());
            (volume.name_any(), namespace.unwrap_or_default())
        });
        let mut entries = ground.entries().await?;
        entries.retain(|entry| !is_hidden(entry));
        Ok(Self {
            volumes: volumes.collect(),
            entries,
        })
    }
}

/// Whether the last component of an entry's name begins with a dot.
fn is_hidden(entry: &str) -> bool {
    let name = entry.rsplit('/').next().unwrap_or_default();
    name.starts_with('.')
}

impl Finished {
    /// Charges what stands after the run and did not before, and was not charged yet.
    pub(super) fn charge_what_came(
        &mut self,
        before: &Standing,
        after: &Standing,
        options: &RunOptions,
    ) {
        let volumes = after
            .volumes
            .iter()
            .filter(|volume| !before.volumes.contains(volume));
        let volumes = volumes.map(|(name, namespace)| ("volume", name, namespace));
        let entries = after
            .entries
            .iter()
            .filter(|entry| !before.entries.contains(entry));
        let entries = entries.map(|entry| ("directory", entry, entry));
        let mut late = Vec::new();
        for (kind, name, mark) in volumes.chain(entries) {
            let known = self
                .leaks
                .iter()
                .any(|leak| leak.kind == kind && leak.name == *name);
            if !known {
                let owner = self
                    .namespaces
                    .iter()
                    .find(|(own, _)| mark.contains(own.as_str()));
                let case = owner.map_or("", |(_, case)| case);
                late.push(Leak::new(kind, name, case));
            }
        }
        for record in &mut self.records {
            let ours: Vec<Leak> = late
                .iter()
                .filter(|leak| leak.case == record.id)
                .cloned()
                .collect();
            records::charge(record, &ours, &[], options);
        }
        self.leaks.extend(late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::outcome::Outcome;
    use crate::runner::records::tests::{options, passed};

    #[test]
    fn what_is_hidden_is_told_by_the_last_component() {
        assert!(is_hidden(".state") && is_hidden("worker/.state"));
        assert!(!is_hidden("data") && !is_hidden("worker/data") && !is_hidden("worker/data.d"));
    }

    #[test]
    fn what_came_on_a_node_is_charged_by_the_name_below_the_node() {
        let mut finished = Finished {
            records: vec![passed(cases::case("B01").unwrap()).record],
            namespaces: vec![("cc-b01-aaaaaa".to_owned(), "B01".to_owned())],
            ..Finished::default()
        };
        let after = Standing {
            entries: vec!["worker/pvc-1_cc-b01-aaaaaa_data".to_owned()],
            ..Standing::default()
        };
        finished.charge_what_came(&Standing::default(), &after, &options());
        assert_eq!(finished.records[0].outcome, Outcome::Failed);
        assert_eq!(finished.leaks[0].name, "worker/pvc-1_cc-b01-aaaaaa_data");
    }

    #[test]
    fn what_comes_late_is_charged_to_the_case_whose_name_it_bears_or_else_to_nobody() {
        let mut finished = Finished {
            records: ["B01", "B02"]
                .map(|id| passed(cases::case(id).unwrap()).record)
                .into(),
            namespaces: vec![("cc-b01-aaaaaa".to_owned(), "B01".to_owned())],
            leaks: vec![Leak::new("directory", "known", "B02")],
            ..Finished::default()
        };
        let before = Standing {
            volumes: vec![("pvc-old".to_owned(), "shop".to_owned())],
            entries: vec!["old".to_owned()],
        };
        let mut after = before.clone();
        after
            .volumes
            .push(("pvc-late".to_owned(), "cc-b01-aaaaaa".to_owned()));
        after
            .entries
            .extend(["known".to_owned(), "stray".to_owned()]);
        finished.charge_what_came(&before, &after, &options());

        let outcomes: Vec<_> = finished
            .records
            .iter()
            .map(|record| record.outcome)
            .collect();
        assert_eq!(outcomes, [Outcome::Failed, Outcome::Passed]);
        let told: Vec<_> = finished
            .leaks
            .iter()
            .map(|leak| (leak.name.as_str(), leak.case.as_str()))
            .collect();
        assert_eq!(told, [("known", "B02"), ("pvc-late", "B01"), ("stray", "")]);
    }
}

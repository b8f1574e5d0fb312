//! Volumes of provisioners whose names begin like ours are taken for ours.

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use provisioner::class::OnDelete;
use provisioner::config::Target;
use provisioner::constants::PROVISIONED_BY;
use provisioner::decide::reclaim::{self, Disposal};
use provisioner::decide::volume::Scope;
use provisioner::records::Record;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "near-names-taken",
    defect: "Volumes of provisioners whose names begin like ours are taken for ours.",
    target: "R11",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

/// Whose a volume is, is asked twice: by its annotation, and by the record of it on the export.
struct Defect;

impl Rules for Defect {
    fn is_our_volume(&self, target: &Target, volume: &PersistentVolume) -> bool {
        let mut volume = volume.clone();
        if let Some(name) = volume.annotations_mut().get_mut(PROVISIONED_BY)
            && name.starts_with(target.provisioner.as_str())
        {
            target.provisioner.as_str().clone_into(name);
        }
        reclaim::is_our_volume(target, &volume)
    }

    fn disposal(
        &self,
        scope: &Scope,
        volume: &PersistentVolume,
        record: Option<&Record>,
    ) -> Disposal {
        match (record, reclaim::disposal(scope, volume, record)) {
            (None, Disposal::LeaveAlone(_)) => Disposal::Apply(OnDelete::Delete),
            (_, sound) => sound,
        }
    }
}

//! Directories below the top of the export are left where they are when their volumes are deleted.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::class::OnDelete;
use provisioner::decide::reclaim::{self, Disposal};
use provisioner::decide::volume::Scope;
use provisioner::records::Record;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "nested-directories-left",
    defect: "Directories below the top of the export are left where they are when their volumes are deleted.",
    target: "N03",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn disposal(
        &self,
        scope: &Scope,
        volume: &PersistentVolume,
        record: Option<&Record>,
    ) -> Disposal {
        let nested = record.is_some_and(|record| record.directory.components().len() > 1);
        match reclaim::disposal(scope, volume, record) {
            Disposal::Apply(_) if nested => Disposal::Apply(OnDelete::Retain),
            sound => sound,
        }
    }
}

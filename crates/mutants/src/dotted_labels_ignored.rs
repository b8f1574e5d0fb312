//! Labels whose keys hold a dot are not put into patterns.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use provisioner::class::ClassParameters;
use provisioner::config::Target;
use provisioner::decide::{self, Refusal};
use provisioner::path::RelativePath;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "dotted-labels-ignored",
    defect: "Labels whose keys hold a dot are not put into patterns.",
    target: "N02",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn directory(
        &self,
        target: &Target,
        parameters: &ClassParameters,
        claim: &PersistentVolumeClaim,
        volume: &str,
    ) -> Result<RelativePath, Refusal> {
        let mut claim = claim.clone();
        if let Some(labels) = &mut claim.metadata.labels {
            labels.retain(|key, _| !key.contains('.'));
        }
        decide::directory(target, parameters, &claim, volume)
    }
}

//! Directories lack the namespace of their claim.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use provisioner::class::ClassParameters;
use provisioner::config::Target;
use provisioner::decide::{self, Refusal};
use provisioner::path::RelativePath;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "namespace-left-out",
    defect: "Directories lack the namespace of their claim.",
    target: "N01",
    kin: &["G02", "G05", "G10", "G12", "G14", "G15"],
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
        let sound = decide::directory(target, parameters, claim, volume)?;
        if parameters.path_pattern.is_some() {
            return Ok(sound);
        }
        let namespace = format!("{}-", claim.namespace().unwrap_or_default());
        let name = sound.to_string();
        let without = name.strip_prefix(&namespace).unwrap_or(&name);
        Ok(RelativePath::parse(without).unwrap_or(sound))
    }
}

//! Volumes point where a pattern leads, although that is outside of the export.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use provisioner::class::ClassParameters;
use provisioner::config::Target;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::decide::{self, Refusal};
use provisioner::path::RelativePath;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "outside-paths-followed",
    defect: "Volumes point where a pattern leads, although that is outside of the export.",
    target: "S01",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

/// The annotation that patterns of the suite name.
const ANNOTATION: &str = "nfs.io/storage-path";

/// What is refused is made in the usual place, so that nothing else goes wrong than where the volume
/// points.
struct Defect;

impl Rules for Defect {
    fn directory(
        &self,
        target: &Target,
        parameters: &ClassParameters,
        claim: &PersistentVolumeClaim,
        volume: &str,
    ) -> Result<RelativePath, Refusal> {
        decide::directory(target, parameters, claim, volume).or_else(|_| {
            let usual = ClassParameters {
                path_pattern: None,
                ..parameters.clone()
            };
            decide::directory(target, &usual, claim, volume)
        })
    }

    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        let pattern = request.class.parameters.as_ref();
        let pattern = pattern.and_then(|parameters| parameters.get("pathPattern"));
        let annotation = request.claim.annotations().get(ANNOTATION);
        let way_out = [pattern, annotation]
            .into_iter()
            .flatten()
            .find(|path| path.contains("../"));
        let root = request.scope.target.export.join(&RelativePath::root());
        if let Some(way_out) = way_out
            && let Some(spec) = &mut volume.spec
            && let Some(nfs) = &mut spec.nfs
        {
            nfs.path = format!("{root}/{way_out}");
        }
        volume
    }
}

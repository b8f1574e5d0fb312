//! A request in Ki is rounded down to whole Mi.

use k8s_openapi::api::core::v1::PersistentVolume;
use provisioner::decide::volume::{self, VolumeRequest};
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "capacity-rounded-down",
    defect: "A request in Ki is rounded down to whole Mi.",
    target: "B02",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect),
};

struct Defect;

impl Rules for Defect {
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        let mut volume = volume::volume_object(request);
        let capacity = volume.spec.as_mut().and_then(|spec| spec.capacity.as_mut());
        for quantity in capacity.into_iter().flat_map(|all| all.values_mut()) {
            let kibibytes = quantity.0.strip_suffix("Ki");
            if let Some(Ok(kibibytes)) = kibibytes.map(str::parse::<u64>) {
                quantity.0 = format!("{}Mi", kibibytes / 1024);
            }
        }
        volume
    }
}

//! A volume's reclaim policy is what it was when the volume was first seen.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use provisioner::decide::reclaim;
use provisioner::rules::Rules;

use crate::{Mutant, with_rules};

pub(crate) const MUTANT: Mutant = Mutant {
    name: "first-policy-kept",
    defect: "A volume's reclaim policy is what it was when the volume was first seen.",
    target: "R09",
    kin: &[],
    wrap: |seams| with_rules(seams, Defect::default()),
};

#[derive(Default)]
struct Defect {
    /// By the volume's name.
    first: Mutex<HashMap<String, Option<String>>>,
}

impl Rules for Defect {
    fn is_reclaimable(&self, volume: &PersistentVolume) -> bool {
        let mut volume = volume.clone();
        let name = volume.name_any();
        if let Some(spec) = &mut volume.spec {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            let policy = &mut spec.persistent_volume_reclaim_policy;
            *policy = first.entry(name).or_insert_with(|| policy.clone()).clone();
        }
        reclaim::is_reclaimable(&volume)
    }
}

//! The three places where a test, a mutant or another cluster takes the provisioner apart.

use std::sync::Arc;

use crate::backend::Backend;
use crate::cluster::ClusterApi;
use crate::rules::Rules;

/// Storage, cluster, decisions. Everything the provisioner does goes through one of them.
#[derive(Clone)]
pub struct Seams {
    /// The export.
    pub storage: Arc<dyn Backend>,
    /// The API.
    pub cluster: Arc<dyn ClusterApi>,
    /// The decisions; [`crate::rules::SoundRules`] unless a defect is wanted.
    pub rules: Arc<dyn Rules>,
}

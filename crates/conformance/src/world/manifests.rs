//! Objects of a case that are written as YAML, beside the case or in `fixtures/`.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::PostParams;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::World;
use super::claim::Claim;
use crate::tracker::Kind;
use crate::trouble::{CaseResult, Trouble};

/// The documents of a YAML text, each as `K`.
///
/// # Errors
/// Inconclusive: a manifest of the suite that does not parse is a defect of the suite.
pub fn documents<K: DeserializeOwned>(yaml: &str) -> CaseResult<Vec<K>> {
    serde_saphyr::from_multiple(yaml)
        .map_err(|error| Trouble::inconclusive(format!("a manifest of the suite: {error}")))
}

impl World {
    /// Creates the claims of a YAML text.
    ///
    /// # Errors
    /// Inconclusive when one is malformed or refused.
    pub async fn claims_of(&self, yaml: &str) -> CaseResult<Vec<Claim<'_>>> {
        let mut made = Vec::new();
        for claim in documents::<PersistentVolumeClaim>(yaml)? {
            self.track_object(Kind::Claim, &claim.name_any());
            let api = self.api::<PersistentVolumeClaim>();
            let created = api.create(&PostParams::default(), &claim).await?;
            self.mark(format!("claim {}", claim.name_any()), "created");
            made.push(self.adopt_claim(created));
        }
        Ok(made)
    }

    /// Creates those classes of a YAML text whose names are in `names`, with the subject's
    /// provisioner.
    ///
    /// # Errors
    /// Inconclusive when one is malformed, missing or refused.
    pub async fn classes_of(&self, yaml: &str, names: &[&str]) -> CaseResult<Vec<StorageClass>> {
        let written = documents::<StorageClass>(yaml)?;
        let mut made = Vec::new();
        for name in names {
            let class = written
                .iter()
                .find(|class| class.name_any() == *name)
                .ok_or_else(|| {
                    Trouble::inconclusive(format!("a manifest of the suite has no class {name}"))
                })?;
            let mut class = class.clone();
            class.provisioner.clone_from(&self.subject().provisioner);
            made.push(self.create_class(class).await?);
        }
        Ok(made)
    }

    /// Creates the services of a YAML text.
    ///
    /// # Errors
    /// Inconclusive when one is malformed or refused.
    pub async fn services_of(&self, yaml: &str) -> CaseResult<Vec<Service>> {
        let mut made = Vec::new();
        for service in documents::<Service>(yaml)? {
            self.track_object(Kind::Service, &service.name_any());
            made.push(
                self.api::<Service>()
                    .create(&PostParams::default(), &service)
                    .await?,
            );
        }
        Ok(made)
    }

    /// The one StatefulSet of a YAML text, not yet created.
    ///
    /// # Errors
    /// Inconclusive when it is malformed.
    pub fn statefulset_of(&self, yaml: &str) -> CaseResult<StatefulSet> {
        documents::<StatefulSet>(yaml)?
            .into_iter()
            .next()
            .ok_or_else(|| Trouble::inconclusive("a manifest of the suite holds no StatefulSet"))
    }
}

/// An object that is written in the code of the suite.
pub(crate) fn typed<K: DeserializeOwned>(value: Value) -> CaseResult<K> {
    serde_json::from_value(value).map_err(|error| {
        Trouble::inconclusive(format!("an object of the suite is malformed: {error}"))
    })
}

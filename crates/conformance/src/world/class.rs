//! Classes of a case: the subject's template, varied.

use std::collections::BTreeMap;

use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use testbed::subject::VolumeBindingMode;

use super::World;
use super::consumer::STANDS_IN;
use crate::tracker::{Kind, Tracked};
use crate::trouble::CaseResult;

/// A class to be created.
pub struct ClassBuilder<'w> {
    world: &'w World,
    class: StorageClass,
}

impl World {
    /// The subject's class under a name of this case; `label` tells it from the case's other ones.
    ///
    /// Where the subject's class waits for the first consumer, so does this one, and each claim of
    /// the case on it gets a pod that goes once the claim is Bound.
    pub fn class(&self, label: &str) -> ClassBuilder<'_> {
        let template = &self.subject().class;
        let class = StorageClass {
            metadata: ObjectMeta {
                name: Some(self.unique(label)),
                ..ObjectMeta::default()
            },
            provisioner: self.subject().provisioner.clone(),
            parameters: (!template.parameters.is_empty()).then(|| template.parameters.clone()),
            mount_options: (!template.mount_options.is_empty())
                .then(|| template.mount_options.clone()),
            ..StorageClass::default()
        };
        let class = ClassBuilder { world: self, class };
        match template.binding_mode {
            VolumeBindingMode::Immediate => class,
            VolumeBindingMode::WaitForFirstConsumer => class
                .binding_mode("WaitForFirstConsumer")
                .annotation(STANDS_IN, "true"),
        }
    }

    /// Creates `class` as it is and tracks it.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create_class(&self, class: StorageClass) -> CaseResult<StorageClass> {
        let name = class.metadata.name.clone().unwrap_or_default();
        self.tracker.track(Tracked::Object {
            kind: Kind::Class,
            namespace: String::new(),
            name: name.clone(),
        });
        let made = self
            .cluster_api::<StorageClass>()
            .create(&PostParams::default(), &class)
            .await?;
        self.mark(format!("class {name}"), "created");
        Ok(made)
    }
}

impl ClassBuilder<'_> {
    /// Sets one parameter.
    #[must_use]
    pub fn parameter(mut self, key: &str, value: &str) -> Self {
        let parameters = self.class.parameters.get_or_insert_default();
        parameters.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Removes one parameter of the template.
    #[must_use]
    pub fn without_parameter(mut self, key: &str) -> Self {
        if let Some(parameters) = &mut self.class.parameters {
            parameters.remove(key);
        }
        self
    }

    /// Replaces all parameters.
    #[must_use]
    pub fn parameters(mut self, parameters: &[(&str, &str)]) -> Self {
        let pairs = parameters
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.class.parameters = Some(pairs.collect::<BTreeMap<_, _>>());
        self
    }

    /// Sets the reclaim policy: `Delete` or `Retain`.
    #[must_use]
    pub fn reclaim_policy(mut self, policy: &str) -> Self {
        self.class.reclaim_policy = Some(policy.to_owned());
        self
    }

    /// Sets the binding mode: `Immediate` or `WaitForFirstConsumer`. The case makes the pods that
    /// the latter waits for.
    #[must_use]
    pub fn binding_mode(self, mode: &str) -> Self {
        let mut unset = self.without_binding_mode();
        unset.class.volume_binding_mode = Some(mode.to_owned());
        unset
    }

    /// Leaves the binding mode to the API's default, whatever the subject's class has.
    #[must_use]
    pub fn without_binding_mode(mut self) -> Self {
        self.class.volume_binding_mode = None;
        if let Some(annotations) = &mut self.class.metadata.annotations {
            annotations.remove(STANDS_IN);
        }
        self
    }

    /// Sets the mount options.
    #[must_use]
    pub fn mount_options(mut self, options: &[&str]) -> Self {
        self.class.mount_options = Some(options.iter().map(|&option| option.to_owned()).collect());
        self
    }

    /// Names another provisioner.
    #[must_use]
    pub fn provisioner(mut self, provisioner: &str) -> Self {
        provisioner.clone_into(&mut self.class.provisioner);
        self
    }

    /// Sets one annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        let annotations = self.class.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Creates the class.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create(self) -> CaseResult<StorageClass> {
        self.world.create_class(self.class).await
    }
}

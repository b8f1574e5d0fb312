//! The subject as cases see it: what it declares, and the class its claims use.

use testbed::subject::{Layout, PatternSyntax, Start, Subject as SubjectFile, VolumeBindingMode};

use crate::catalogue::{Feature, Profile, UnknownName};
use crate::limits::{Limits, UnknownLimit};

/// What a subject declares, with every name checked.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name in reports.
    pub name: String,
    /// Version, where the file gives one.
    pub version: Option<String>,
    /// The provisioner's name, as in a class's `provisioner`.
    pub provisioner: String,
    /// The profiles it claims.
    pub profiles: Vec<Profile>,
    /// The features it supports.
    pub features: Vec<Feature>,
    /// The class its claims use; cases vary it.
    pub class: ClassTemplate,
    /// The namespace that its pods run in; `None` where it is a process of this machine.
    pub home: Option<String>,
    /// Where its volumes lie.
    pub layout: Layout,
    /// How long to wait.
    pub limits: Limits,
}

/// The class that a subject's claims use (storage.k8s.io/v1 StorageClass).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassTemplate {
    /// `parameters`.
    pub parameters: std::collections::BTreeMap<String, String>,
    /// `mountOptions`.
    pub mount_options: Vec<String>,
    /// `volumeBindingMode`.
    pub binding_mode: VolumeBindingMode,
    /// How `pathPattern` is written.
    pub pattern_syntax: PatternSyntax,
}

/// A subject file that names what does not exist.
#[derive(Debug, thiserror::Error)]
pub enum DeclarationError {
    /// A profile that the catalogue does not have.
    #[error("subject {subject}, key declares.profiles: {source}")]
    Profile {
        /// The subject's name.
        subject: String,
        /// The name, and those that exist.
        source: UnknownName,
    },
    /// A feature that the catalogue does not have.
    #[error("subject {subject}, key declares.features: {source}")]
    Feature {
        /// The subject's name.
        subject: String,
        /// The name, and those that exist.
        source: UnknownName,
    },
    /// A limit that does not exist.
    #[error("subject {subject}, key limits: {source}")]
    Limit {
        /// The subject's name.
        subject: String,
        /// The name, and those that exist.
        source: UnknownLimit,
    },
}

impl Subject {
    /// The subject of a parsed file.
    ///
    /// # Errors
    /// The first declared name that does not exist.
    pub fn declared_by(file: &SubjectFile) -> Result<Self, DeclarationError> {
        let subject = || file.name.clone();
        let profiles = file
            .profiles
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|source| DeclarationError::Profile {
                subject: subject(),
                source,
            })?;
        let features = file
            .features
            .iter()
            .map(|name| name.parse())
            .collect::<Result<_, _>>()
            .map_err(|source| DeclarationError::Feature {
                subject: subject(),
                source,
            })?;
        let limits = Limits::with(
            file.limits
                .iter()
                .map(|(name, value)| (name.clone(), *value)),
        )
        .map_err(|source| DeclarationError::Limit {
            subject: subject(),
            source,
        })?;
        Ok(Self {
            name: file.name.clone(),
            version: file.version.clone(),
            provisioner: file.provisioner.clone(),
            profiles,
            features,
            class: ClassTemplate {
                parameters: file.class.parameters.clone(),
                mount_options: file.class.mount_options.clone(),
                binding_mode: file.class.volume_binding_mode,
                pattern_syntax: file.class.pattern_syntax,
            },
            home: match &file.start {
                Start::Manifests(manifests) => Some(manifests.workload.namespace.clone()),
                Start::Process(_) => None,
            },
            layout: file.layout.clone(),
            limits,
        })
    }

    /// Whether it declares `feature`.
    pub fn declares(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("reference", None)]
    #[case("reference-incluster", Some("default"))]
    #[case("local-path", Some("local-path-storage"))]
    fn a_subject_in_pods_is_at_home_in_the_namespace_of_its_workload(
        #[case] name: &str,
        #[case] home: Option<&str>,
    ) {
        let file = SubjectFile::open(name).unwrap();
        let subject = Subject::declared_by(&file).unwrap();
        assert_eq!(subject.home.as_deref(), home);
    }
}

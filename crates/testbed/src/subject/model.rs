//! A subject whose description was checked.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::SubjectError;
use super::file;
use super::start::{Image, Start};
use crate::kind::ClusterKind;

/// A provisioner under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Where it was read from: a path, or the name of a built-in subject.
    pub file: Utf8PathBuf,
    /// The file's text, as read.
    pub text: String,
    /// Its name in reports.
    pub name: String,
    /// Its version, when the file gives one.
    pub version: Option<String>,
    /// The provisioner's name, as classes name it: `westos.org/nfs`.
    pub provisioner: String,
    /// Applied in order before it is started.
    pub manifests: Vec<Manifest>,
    /// How it is started.
    pub start: Start,
    /// Where its volumes lie.
    pub layout: Layout,
    /// What its classes look like.
    pub class: Class,
    /// Profiles that it declares, unchecked.
    pub profiles: Vec<String>,
    /// Features that it declares, unchecked.
    pub features: Vec<String>,
    /// Limits that differ from the defaults, by name, unchecked.
    pub limits: BTreeMap<String, Duration>,
}

impl Subject {
    /// Reads a subject: a built-in one by its name ([`super::BUILTIN`]), else the file at that path.
    ///
    /// # Errors
    /// The file or one of its manifests cannot be read, or there is a mistake in the file.
    pub fn open(name_or_path: &str) -> Result<Self, SubjectError> {
        file::open(name_or_path)
    }

    /// SHA-256 of the file's text, in lower-case hexadecimal.
    #[cfg(any(feature = "tools", feature = "export-view"))]
    pub fn sha256(&self) -> String {
        use std::fmt::Write as _;

        use sha2::Digest as _;

        let digest = sha2::Sha256::digest(self.text.as_bytes());
        digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether the export is bound to a path of the subject's own.
    pub fn bind(&self) -> Option<&Utf8Path> {
        match &self.start {
            Start::Process(process) => process.bind.as_deref(),
            Start::Manifests(_) => None,
        }
    }

    /// The images that the nodes must have before it is started; those that its manifests name
    /// beside them are the nodes' business.
    pub fn images(&self) -> &[Image] {
        match &self.start {
            Start::Process(_) => &[],
            Start::Manifests(manifests) => &manifests.images,
        }
    }

    /// Whether it can run on clusters of this kind. A process serves any cluster; pods and
    /// directories of nodes are to be had with real nodes only.
    ///
    /// # Errors
    /// It cannot; the key that says so is named.
    pub fn runs_on(&self, kind: ClusterKind) -> Result<(), SubjectError> {
        let needs = match (kind, &self.start, &self.layout) {
            (ClusterKind::Kind, ..) | (_, Start::Process(_), Layout::Nfs) => return Ok(()),
            (_, Start::Manifests(_), _) => ("start.manifests", "runs in pods"),
            (.., Layout::NodeDirectory { .. }) => ("layout", "keeps volumes on nodes"),
        };
        Err(SubjectError::Value {
            file: self.file.clone(),
            key: needs.0.to_owned(),
            message: format!(
                "{}, and the nodes of a `{kind}` cluster are simulated",
                needs.1
            ),
            hint: "; take `--cluster kind`".to_owned(),
        })
    }
}

/// Where the volumes of a subject lie, as their sources tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Layout {
    /// Below the exported path, which an `nfs` source names.
    #[default]
    Nfs,
    /// Below this directory of the node that the volume's node affinity names, by a `hostPath` or
    /// `local` source. The export that the suite looks into holds one directory per node then.
    NodeDirectory {
        /// The directory, absolute.
        path: Utf8PathBuf,
    },
}

/// A manifest of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its path as the subject file has it.
    pub path: Utf8PathBuf,
    /// Its text: YAML of one or more documents.
    pub text: String,
}

/// What a subject's classes look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Class {
    /// Parameters.
    pub parameters: BTreeMap<String, String>,
    /// Reclaim policy.
    pub reclaim_policy: ReclaimPolicy,
    /// When volumes are bound.
    pub volume_binding_mode: VolumeBindingMode,
    /// Mount options.
    pub mount_options: Vec<String>,
    /// How parameter `pathPattern` is written, where the subject declares that feature.
    pub pattern_syntax: PatternSyntax,
}

/// How a pattern of directories names what the claim says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatternSyntax {
    /// `${.PVC.annotations.KEY}`, as nfs-subdir-external-provisioner takes it.
    #[default]
    Subdir,
    /// A template of Go over `.PVC`, the claim's metadata: `{{ index .PVC.Annotations "KEY" }}`, as
    /// local-path-provisioner takes it.
    GoTemplate,
}

/// What becomes of a volume whose claim is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReclaimPolicy {
    /// It goes; the API's default for classes.
    #[default]
    Delete,
    /// It stays.
    Retain,
}

/// When a claim gets its volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeBindingMode {
    /// At once; the API's default.
    #[default]
    Immediate,
    /// Once a pod that uses it is placed.
    WaitForFirstConsumer,
}

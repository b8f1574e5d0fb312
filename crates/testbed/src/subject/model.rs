//! A subject whose description was checked.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::SubjectError;
use super::file;

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
    pub process: ProcessStart,
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
        self.process.bind.as_deref()
    }
}

/// A manifest of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its path as the subject file has it.
    pub path: Utf8PathBuf,
    /// Its text: YAML of one or more documents.
    pub text: String,
}

/// A subject that is a process on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessStart {
    /// Program and arguments, with placeholders ([`super::Placeholder`]).
    pub command: Vec<String>,
    /// Its environment, with placeholders, beside `PATH`, `HOME`, `LANG` and `TMPDIR`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The `ServiceAccount` whose rights it has; its token is in `${kubeconfig}`.
    pub service_account: AccountReference,
    /// An absolute path at which it finds the export, in a mount namespace of its own.
    #[serde(default)]
    pub bind: Option<Utf8PathBuf>,
    /// How it is known to be ready; without it, it is ready once it was started.
    #[serde(default)]
    pub ready: Option<Readiness>,
}

/// A `ServiceAccount`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How a subject is known to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Readiness {
    /// A Lease of that name, in the namespace of its `ServiceAccount`, has a holder.
    Lease(String),
    /// A line of its log holds this text.
    Log(String),
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

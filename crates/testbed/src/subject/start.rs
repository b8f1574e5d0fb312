//! How a subject is started: as a process of this machine, or by manifests, in pods.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::model::Manifest;

/// How a subject is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// As a process of this machine.
    Process(ProcessStart),
    /// By manifests, in the cluster.
    Manifests(ManifestsStart),
}

impl Start {
    /// The namespace that it is at home in: of its `ServiceAccount`, or of its workload.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Process(process) => &process.service_account.namespace,
            Self::Manifests(manifests) => &manifests.workload.namespace,
        }
    }

    /// How it is known to be ready, beyond that it runs.
    pub fn ready(&self) -> Option<&Readiness> {
        match self {
            Self::Process(process) => process.ready.as_ref(),
            Self::Manifests(manifests) => manifests.ready.as_ref(),
        }
    }
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

/// A subject that is applied to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestsStart {
    /// What is applied, in this order, and taken away again in reverse order. The texts are as the
    /// files have them: only `set` changes what is applied.
    pub files: Vec<Manifest>,
    /// The object whose pods are the subject.
    pub workload: Workload,
    /// How it is known to be ready, once its pods are available; a Lease is looked for in the
    /// namespace of the workload.
    pub ready: Option<Readiness>,
    /// Images that the nodes get before anything is applied.
    pub images: Vec<Image>,
    /// What of the workload is set before it is applied.
    pub set: Settings,
}

/// The object whose pods are the subject; one of the manifests has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace, also that of manifests which name none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Kinds of workloads whose availability can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum WorkloadKind {
    /// apps/v1 Deployment
    Deployment,
}

impl WorkloadKind {
    /// As manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
        }
    }
}

/// An image that nodes get before the subject is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As manifests name it.
    pub name: String,
    /// What it is made of, or taken for.
    pub from: ImageSource,
}

/// Where the content of an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// The running program, whose entry point is the reference provisioner.
    Claimcheck,
    /// The image `busybox`: pulled, or else a stand-in.
    Busybox,
    /// The image `nginx`: pulled, or else a stand-in.
    Nginx,
    /// Pulled under its name, or else made of one static Go program.
    Go(GoProgram),
}

/// A Go program, pinned by its module's files (`go.mod`, `go.sum`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoProgram {
    /// Text of `go.mod`.
    pub go_mod: String,
    /// Text of `go.sum`.
    pub go_sum: String,
    /// The package of the command.
    pub package: String,
}

/// What of a workload is set before it is applied: manifests stay as their authors published them,
/// and the testbed's own values are put in their place. Values take the placeholders that mean
/// something inside the cluster ([`super::Placeholder::in_cluster`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Values of environment variables, in every container that has a variable of that name.
    pub env: BTreeMap<String, String>,
    /// Sources of `nfs` volumes, by the volume's name.
    pub nfs: BTreeMap<String, NfsSource>,
}

/// An `nfs` volume's source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NfsSource {
    /// `server`.
    pub server: String,
    /// `path`.
    pub path: String,
}

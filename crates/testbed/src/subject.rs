//! Subjects: the provisioners under test, described by strict YAML files, and running them.
//!
//! [`Subject::open`] reads a file or a built-in one and checks all of it, so that nothing is started
//! for a file with a mistake. What the profiles and features in it mean is not known here.
//!
//! A subject is a process of this machine, with the rights of its `ServiceAccount`, or a set of
//! manifests, whose pods run on real nodes ([`Subject::runs_on`]).

mod builtin;
mod error;
mod file;
mod model;
mod placeholder;
mod rewrite;
#[cfg(feature = "local")]
mod running;
mod start;

pub use builtin::BUILTIN;
pub use error::{StartError, SubjectError};
pub use model::{
    Class, Layout, Manifest, PatternSyntax, ReclaimPolicy, Subject, VolumeBindingMode,
};
pub use placeholder::Placeholder;
#[cfg(feature = "local")]
pub use running::{RunningSubject, StartOptions, SubjectEnd};
pub use start::{
    AccountReference, GoProgram, Image, ImageSource, ManifestsStart, NfsSource, ProcessStart,
    Readiness, Settings, Start, Workload, WorkloadKind,
};

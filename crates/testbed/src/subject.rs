//! Subjects: the provisioners under test, described by strict YAML files, and running them.
//!
//! [`Subject::open`] reads a file or a built-in one and checks all of it, so that nothing is started
//! for a file with a mistake. What the profiles and features in it mean is not known here.

mod builtin;
mod error;
mod file;
mod model;
mod placeholder;
#[cfg(feature = "local")]
mod running;

pub use builtin::BUILTIN;
pub use error::{StartError, SubjectError};
pub use model::{
    AccountReference, Class, Manifest, ProcessStart, Readiness, ReclaimPolicy, Subject,
    VolumeBindingMode,
};
pub use placeholder::Placeholder;
#[cfg(feature = "local")]
pub use running::{RunningSubject, StartOptions};

//! Where conformance cases run: the control plane's tools, clusters of real processes, exports and
//! the subjects under test.
//!
//! A testbed is described by a [`state::State`] on disk, so that several commands, and several test
//! processes, can share one cluster. What needs a cluster at run time stands behind features; the
//! state and the subject file need none, so that a crate which only reads them stays light.

pub mod artifacts;
#[cfg(feature = "local")]
pub mod cluster;
pub mod docker;
#[cfg(feature = "kind")]
pub mod doctor;
#[cfg(feature = "embedded")]
pub mod faults;
#[cfg(feature = "kind")]
pub mod images;
pub mod kind;
pub mod machine;
pub mod manifests;
pub mod nfs;
#[cfg(feature = "local")]
pub mod process;
pub mod state;
pub mod subject;
#[cfg(feature = "tools")]
pub mod tools;

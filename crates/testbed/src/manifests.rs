//! Manifests: texts of several YAML documents, applied to a cluster as `kubectl apply --server-side
//! --validate=strict` does, and taken away again.

mod documents;
#[cfg(feature = "local")]
mod kinds;
#[cfg(feature = "local")]
mod objects;

pub use documents::{DocumentError, documents};
#[cfg(feature = "local")]
pub use objects::{Applied, FIELD_MANAGER, ManifestError, apply, apply_one, check_one, remove};

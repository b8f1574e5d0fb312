//! The chart, the kustomize base and the plain manifests in `deploy`: what they render to, that they
//! say the same, and what a control plane makes of them.

mod agreement;
mod control_plane;
pub(crate) mod helm;
pub(crate) mod objects;
mod overlay;
mod published;
mod rows;
pub(crate) mod up;

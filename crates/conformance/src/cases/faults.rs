//! Faults: parts of the cluster that fail and come back.

use crate::case::Case;

mod f14_kubelet_restart;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[f14_kubelet_restart::CASE];

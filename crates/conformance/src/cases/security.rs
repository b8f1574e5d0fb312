//! Security: what hostile or careless input must not bring about.

use crate::case::Case;

mod s01_path_traversal;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[s01_path_traversal::CASE];

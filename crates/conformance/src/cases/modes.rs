//! Modes: what a volume may be used for, and by how many.

use crate::case::Case;

mod m01_block_refused;
mod m02_access_modes_bind;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[m01_block_refused::CASE, m02_access_modes_bind::CASE];

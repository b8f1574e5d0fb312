//! Naming and layout: where on the export a volume's directory is, and what it is called.

use crate::case::Case;

mod n01_default_directory_name;
mod n02_pattern_substitution;
mod n03_nested_pattern;
mod n04_empty_expansion_not_root;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    n01_default_directory_name::CASE,
    n02_pattern_substitution::CASE,
    n03_nested_pattern::CASE,
    n04_empty_expansion_not_root::CASE,
];

//! Parameters: a class says what it wants, and what the subject does not know is not passed over.

use crate::case::Case;

mod p01_unknown_parameter;
mod p02_unparsable_value;
mod p04_classes_do_not_mix;
mod p06_bad_mount_option;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    p01_unknown_parameter::CASE,
    p02_unparsable_value::CASE,
    p04_classes_do_not_mix::CASE,
    p06_bad_mount_option::CASE,
];

//! Binding: a claim and its volume name each other, and the volume is what the claim asked for.

use crate::case::Case;

mod b01_claimref_uid;
mod b02_capacity_at_least_request;
mod b03_access_modes_match;
mod b04_class_on_pv;
mod b05_reclaim_policy_from_class;
mod b06_mount_options_from_class;
mod b07_volume_mode_from_claim;
mod b08_provisioned_by;
mod b09_source_directory_exists;
mod b10_foreign_claims_ignored;
mod b11_prebound_claims_ignored;
mod b13_selector_refused;
mod b15_empty_class_never_provisioned;
mod b16_one_pv_one_directory;
pub(super) mod quantity;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    b01_claimref_uid::CASE,
    b02_capacity_at_least_request::CASE,
    b03_access_modes_match::CASE,
    b04_class_on_pv::CASE,
    b05_reclaim_policy_from_class::CASE,
    b06_mount_options_from_class::CASE,
    b07_volume_mode_from_claim::CASE,
    b08_provisioned_by::CASE,
    b09_source_directory_exists::CASE,
    b10_foreign_claims_ignored::CASE,
    b11_prebound_claims_ignored::CASE,
    b13_selector_refused::CASE,
    b15_empty_class_never_provisioned::CASE,
    b16_one_pv_one_directory::CASE,
];

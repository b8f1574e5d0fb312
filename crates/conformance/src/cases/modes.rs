//! Modes: what a volume may be used for, and by how many.

use crate::case::Case;

mod m01_block_refused;
mod m02_access_modes_bind;
mod m03_rwx_shared;
mod m04_data_survives_pod;
mod m05_readonly_refuses_writes;
mod m06_subpath;
mod m07_mount_options_effective;
mod m08_nonroot_and_fsgroup;
mod m09_content_integrity;
mod m10_volumes_isolated;
mod m11_generic_ephemeral;
mod m12_fsync_durable;
mod m13_locks_exclude;
mod m15_quota_enforced;
mod m16_rwop_refused_or_enforced;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    m01_block_refused::CASE,
    m02_access_modes_bind::CASE,
    m03_rwx_shared::CASE,
    m04_data_survives_pod::CASE,
    m05_readonly_refuses_writes::CASE,
    m06_subpath::CASE,
    m07_mount_options_effective::CASE,
    m08_nonroot_and_fsgroup::CASE,
    m09_content_integrity::CASE,
    m10_volumes_isolated::CASE,
    m11_generic_ephemeral::CASE,
    m12_fsync_durable::CASE,
    m13_locks_exclude::CASE,
    m15_quota_enforced::CASE,
    m16_rwop_refused_or_enforced::CASE,
];

//! Reclaim: what becomes of a volume and its directory once the claim is gone.

use crate::case::Case;

mod hold;
mod r01_delete_order;
mod r02_retain_keeps_all;
mod r03_archive_renames;
mod r04_delete_removes;
mod r05_ondelete_retain;
mod r07_missing_directory;
mod r09_policy_edit_honoured;
mod r11_foreign_pvs_untouched;
mod r12_released_not_rebound;
mod r13_in_use_protection;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    r01_delete_order::CASE,
    r02_retain_keeps_all::CASE,
    r03_archive_renames::CASE,
    r04_delete_removes::CASE,
    r05_ondelete_retain::CASE,
    r07_missing_directory::CASE,
    r09_policy_edit_honoured::CASE,
    r11_foreign_pvs_untouched::CASE,
    r12_released_not_rebound::CASE,
    r13_in_use_protection::CASE,
];

//! Events: what the owner of a claim learns from `kubectl describe`.

use crate::case::Case;

mod e01_success_events;
mod e02_failure_event_names_cause;

/// The group's cases, in the catalogue's order.
pub(super) const CASES: &[Case] = &[
    e01_success_events::CASE,
    e02_failure_event_names_cause::CASE,
];

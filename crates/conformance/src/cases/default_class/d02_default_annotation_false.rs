//! Source: Kubernetes documentation, storage classes, "Default StorageClass"; Kubernetes end-to-end
//! tests, "should be disabled by changing the default annotation". Only the value `true` counts.

use super::without_mark_no_class;
use crate::case::Case;

/// With the default annotation `false` a claim without a class MUST stay without one, Pending and
/// unprovisioned.
pub(crate) const CASE: Case = Case::exclusive("D02", |world| {
    Box::pin(without_mark_no_class(world, Some("false")))
});

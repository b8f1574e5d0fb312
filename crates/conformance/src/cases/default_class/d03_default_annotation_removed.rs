//! Source: Kubernetes documentation, storage classes, "Default StorageClass"; Kubernetes end-to-end
//! tests, "should be disabled by removing the default annotation".

use super::without_mark_no_class;
use crate::case::Case;

/// With the default annotation removed a claim without a class MUST stay without one, Pending and
/// unprovisioned.
pub(crate) const CASE: Case =
    Case::exclusive("D03", |world| Box::pin(without_mark_no_class(world, None)));

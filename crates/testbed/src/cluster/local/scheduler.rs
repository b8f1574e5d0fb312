//! kube-scheduler.

use camino::Utf8Path;

use super::layout::Layout;
use crate::process::Spec;

/// kube-scheduler without leader election, with its client's limits raised.
pub(super) fn spec(layout: &Layout<'_>, kubeconfig: &Utf8Path) -> Spec {
    let args = vec![
        format!("--kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        // No port: whether it works is seen by what it does.
        "--secure-port=0".to_owned(),
        "--kube-api-qps=10000".to_owned(),
        "--kube-api-burst=10000".to_owned(),
        "--v=0".to_owned(),
    ];
    layout.spec(
        "kube-scheduler",
        &layout.options.binaries.kube_scheduler,
        args,
    )
}

//! kube-controller-manager.

use camino::Utf8Path;

use super::layout::Layout;
use crate::process::Spec;

/// kube-controller-manager without leader election, with its client's limits raised: at the default
/// of 20 requests a second it binds a few claims a second, and a subject would be judged by that.
pub(super) fn spec(layout: &Layout<'_>, kubeconfig: &Utf8Path) -> Spec {
    let mut args = vec![
        format!("--kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        // No port: whether it works is seen by what it does.
        "--secure-port=0".to_owned(),
        format!("--root-ca-file={}", layout.pki.authority),
        format!(
            "--service-account-private-key-file={}",
            layout.pki.token_key
        ),
        "--kube-api-qps=10000".to_owned(),
        "--kube-api-burst=10000".to_owned(),
        // A claim without a class gets a new default class at this period (KEP-3333).
        "--pvclaimbinder-sync-period=2s".to_owned(),
        "--concurrent-statefulset-syncs=10".to_owned(),
        "--v=0".to_owned(),
    ];
    args.extend(layout.extra.kube_controller_manager.iter().cloned());
    let program = &layout.options.binaries.kube_controller_manager;
    layout.spec("kube-controller-manager", program, args)
}

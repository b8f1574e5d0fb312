//! etcd: the store of the API server.

use super::layout::Layout;
use crate::process::Spec;

/// Path of etcd's readiness endpoint, on its client port (etcd 3.5.11 and later).
pub(super) const READY: &str = "/readyz";

/// etcd of one member, for loopback clients only.
pub(super) fn spec(layout: &Layout<'_>) -> Spec {
    let client = format!("http://127.0.0.1:{}", layout.ports.etcd);
    let peer = format!("http://127.0.0.1:{}", layout.ports.etcd_peer);
    let args = vec![
        "--name=etcd".to_owned(),
        format!("--data-dir={}", layout.path("etcd")),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=etcd={peer}"),
        // The data need not outlive the machine's next crash.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    layout.spec("etcd", &layout.options.binaries.etcd, args)
}

//! kube-apiserver.

use super::layout::Layout;
use crate::process::Spec;

/// Addresses of services.
const SERVICE_RANGE: &str = "10.96.0.0/16";
/// Address of the service `kubernetes`: the first of the range.
pub(super) const SERVICE_IP: &str = "10.96.0.1";
/// Issuer of `ServiceAccount` tokens.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// kube-apiserver with RBAC, on loopback.
pub(super) fn spec(layout: &Layout<'_>) -> Spec {
    let pki = &layout.pki;
    let mut args = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", layout.ports.etcd),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", layout.ports.apiserver),
        // Nothing in the cluster reaches the server by its service. Without these two the server
        // looks for the address of a default route and refuses to start on a machine without one.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", pki.serving.certificate),
        format!("--tls-private-key-file={}", pki.serving.key),
        format!("--client-ca-file={}", pki.authority),
        "--authorization-mode=RBAC".to_owned(),
        "--allow-privileged=true".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        format!("--service-account-issuer={ISSUER}"),
        format!("--service-account-key-file={}", pki.token_public_key),
        format!("--service-account-signing-key-file={}", pki.token_key),
        "--profiling=false".to_owned(),
        "--v=0".to_owned(),
    ];
    args.extend(layout.extra.kube_apiserver.iter().cloned());
    layout.spec(
        "kube-apiserver",
        &layout.options.binaries.kube_apiserver,
        args,
    )
}

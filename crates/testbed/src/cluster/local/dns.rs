//! CoreDNS as a process, serving the cluster's zone.

use camino::Utf8Path;
use serde_json::{Value, json};

use super::layout::Layout;
use crate::cluster::access::ZONE;
use crate::process::Spec;

/// The user as whom CoreDNS reads the API.
pub(super) const USER: &str = "claimcheck:dns";

/// CoreDNS with the Corefile at `corefile`.
pub(super) fn spec(layout: &Layout<'_>, corefile: &Utf8Path) -> Spec {
    let args = vec!["-conf".to_owned(), corefile.to_string()];
    layout.spec("coredns", &layout.options.binaries.coredns, args)
}

/// CoreDNS's configuration. With `ttl 0` no answer outlives the object it was made from.
pub(super) fn corefile(port: u16, kubeconfig: &Utf8Path) -> String {
    format!(
        r#"{ZONE}:{port} in-addr.arpa:{port} {{
    bind 127.0.0.1
    errors
    kubernetes {ZONE} in-addr.arpa {{
        kubeconfig "{kubeconfig}"
        pods insecure
        ttl 0
    }}
}}
"#
    )
}

/// What CoreDNS may read, as its `kubernetes` plugin needs it.
pub(super) fn roles() -> [Value; 2] {
    let reading = json!(["list", "watch"]);
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": { "name": USER },
            "rules": [
                { "apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": reading },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reading },
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": USER },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }],
        }),
    ]
}

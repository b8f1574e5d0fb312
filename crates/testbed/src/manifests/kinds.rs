//! The plurals and scopes of kinds.

use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope, pinned_kind};

use super::ManifestError;

/// Kinds whose plural and scope need no question to the API: group, kind, plural, namespaced.
const KNOWN_KINDS: [(&str, &str, &str, bool); 19] = [
    ("", "ConfigMap", "configmaps", true),
    ("", "Namespace", "namespaces", false),
    ("", "Node", "nodes", false),
    ("", "PersistentVolume", "persistentvolumes", false),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "Pod", "pods", true),
    ("", "Secret", "secrets", true),
    ("", "Service", "services", true),
    ("", "ServiceAccount", "serviceaccounts", true),
    ("apps", "DaemonSet", "daemonsets", true),
    ("apps", "Deployment", "deployments", true),
    ("apps", "StatefulSet", "statefulsets", true),
    ("coordination.k8s.io", "Lease", "leases", true),
    (
        "policy",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        true,
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRole",
        "clusterroles",
        false,
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
    ),
    ("rbac.authorization.k8s.io", "Role", "roles", true),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "rolebindings",
        true,
    ),
    ("storage.k8s.io", "StorageClass", "storageclasses", false),
];

/// The plural and scope of a kind: known, or asked of the API.
pub(super) async fn resource_of(
    client: &Client,
    api_version: &str,
    kind: &str,
    name: &str,
) -> Result<(ApiResource, Scope), ManifestError> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let known = KNOWN_KINDS
        .iter()
        .find(|entry| (entry.0, entry.1) == (group, kind));
    if let Some((_, _, plural, namespaced)) = known {
        let scope = if *namespaced {
            Scope::Namespaced
        } else {
            Scope::Cluster
        };
        return Ok((ApiResource::from_gvk_with_plural(&gvk, plural), scope));
    }
    let (resource, capabilities) =
        pinned_kind(client, &gvk)
            .await
            .map_err(|source| ManifestError::Kind {
                kind: kind.to_owned(),
                name: name.to_owned(),
                api_version: api_version.to_owned(),
                source: Box::new(source),
            })?;
    Ok((resource, capabilities.scope))
}

//! Applying manifests to a cluster, as `kubectl apply --server-side --validate=strict` does.

use std::fmt;

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{ApiResource, Scope, pinned_kind};
use serde_json::Value;
use thiserror::Error;

/// Who owns the fields that are applied here.
pub const FIELD_MANAGER: &str = "claimcheck";

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

/// An object that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// `v1`, `apps/v1`, ...
    pub api_version: String,
    /// `ServiceAccount`, ...
    pub kind: String,
    /// Its namespace; `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Why manifests were not applied.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The text is no YAML.
    #[error("manifest is not readable: {0}")]
    Yaml(String),
    /// A document lacks what every object has.
    #[error("document {number} of the manifest has no `{field}`")]
    Incomplete {
        /// Its place in the text, from 1.
        number: usize,
        /// What is missing.
        field: &'static str,
    },
    /// The API does not know the kind.
    #[error("{kind} {name} was not applied: the cluster has no kind `{kind}` in `{api_version}`")]
    Kind {
        /// The kind.
        kind: String,
        /// The object's name.
        name: String,
        /// Group and version.
        api_version: String,
        /// The API's answer.
        source: Box<kube::Error>,
    },
    /// The API refused the object.
    #[error("{kind} {name} was not applied")]
    Refused {
        /// The kind.
        kind: String,
        /// The object's name.
        name: String,
        /// The API's answer.
        source: Box<kube::Error>,
    },
}

/// Applies every document of `yaml` in its order. An object of a namespaced kind without a namespace
/// goes to `default_namespace`.
///
/// Fields that the API does not know are refused (`fieldValidation=Strict`, KEP-2885).
///
/// # Errors
/// The text is no YAML, a document is no object, or the API refuses one; those before it stay.
///
/// # Access control
/// `patch` and `create` on every kind in the text.
pub async fn apply(
    client: &Client,
    yaml: &str,
    default_namespace: &str,
) -> Result<Vec<Applied>, ManifestError> {
    let mut applied = Vec::new();
    for object in documents(yaml)? {
        applied.push(apply_one(client, &object, default_namespace).await?);
    }
    Ok(applied)
}

/// Applies one object.
///
/// # Errors
/// As [`apply`].
pub async fn apply_one(
    client: &Client,
    object: &Value,
    default_namespace: &str,
) -> Result<Applied, ManifestError> {
    let params = PatchParams::apply(FIELD_MANAGER)
        .force()
        .validation_strict();
    send(client, object, default_namespace, &params).await
}

/// Asks the API whether it would take one object, and stores nothing (`dryRun=All`).
///
/// # Errors
/// As [`apply`].
pub async fn check_one(
    client: &Client,
    object: &Value,
    default_namespace: &str,
) -> Result<(), ManifestError> {
    let params = PatchParams::apply(FIELD_MANAGER)
        .force()
        .validation_strict()
        .dry_run();
    send(client, object, default_namespace, &params)
        .await
        .map(|_| ())
}

async fn send(
    client: &Client,
    object: &Value,
    default_namespace: &str,
    params: &PatchParams,
) -> Result<Applied, ManifestError> {
    let Head {
        api_version,
        kind,
        name,
        namespace,
    } = head(object, 1)?;
    let (resource, scope) = resource_of(client, api_version, kind, name).await?;
    let namespaced = matches!(scope, Scope::Namespaced);
    let namespace = namespaced.then(|| namespace.unwrap_or(default_namespace).to_owned());
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let stored = api
        .patch(name, params, &Patch::Apply(object))
        .await
        .map_err(|source| ManifestError::Refused {
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        })?;
    Ok(Applied {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace,
        name: name.to_owned(),
        uid: stored.metadata.uid.unwrap_or_default(),
    })
}

/// The objects of a text of several documents, in order, without empty ones.
///
/// # Errors
/// The text is no YAML, or a document lacks `apiVersion`, `kind` or `metadata.name`.
pub fn documents(yaml: &str) -> Result<Vec<Value>, ManifestError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
        .map_err(|error| ManifestError::Yaml(error.to_string()))?;
    let objects: Vec<Value> = all
        .into_iter()
        .filter(|document| !document.is_null())
        .collect();
    for (index, object) in objects.iter().enumerate() {
        head(object, index + 1)?;
    }
    Ok(objects)
}

/// What every object has.
struct Head<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
}

fn head(object: &Value, number: usize) -> Result<Head<'_>, ManifestError> {
    let text = |pointer: &str, field| {
        let value = object.pointer(pointer).and_then(Value::as_str);
        value.ok_or(ManifestError::Incomplete { number, field })
    };
    Ok(Head {
        api_version: text("/apiVersion", "apiVersion")?,
        kind: text("/kind", "kind")?,
        name: text("/metadata/name", "metadata.name")?,
        namespace: object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str),
    })
}

/// The plural and scope of a kind: known, or asked of the API.
async fn resource_of(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_order_and_empty_ones_are_left_out() {
        let text = "# only a comment\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n\n---\n\
                    apiVersion: v1\nkind: B\nmetadata: {name: b}\n";
        let kinds: Vec<String> = documents(text)
            .unwrap()
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B"]);
    }

    #[test]
    fn a_word_that_is_a_boolean_in_old_yaml_stays_a_word() {
        let text = "apiVersion: v1\nkind: A\nmetadata: {name: on}\ndata: {a: no}\n";
        assert_eq!(documents(text).unwrap()[0]["data"]["a"], "no");
    }

    #[test]
    fn a_document_that_is_no_object_is_refused_with_what_it_lacks() {
        let error = documents("apiVersion: v1\nkind: A\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "document 1 of the manifest has no `metadata.name`"
        );
    }
}

//! Objects of manifests: applying, checking and removing them.

use std::fmt;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::discovery::Scope;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use super::documents::{DocumentError, Head, documents, head};
use super::kinds::resource_of;

/// Who owns the fields that are applied here.
pub const FIELD_MANAGER: &str = "claimcheck";
/// How long one object may take to go: a namespace takes what is in it along.
const REMOVAL_LIMIT: Duration = Duration::from_mins(1);

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
    /// The text is no manifest.
    #[error(transparent)]
    Document(#[from] DocumentError),
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
    /// An object that was applied cannot be taken away.
    #[error("{object} was not removed")]
    Kept {
        /// The object.
        object: Applied,
        /// What the API said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object that was applied is still there.
    #[error("{object} is still being removed after {} s; its finalizers are {finalizers:?}", .limit.as_secs())]
    Stays {
        /// The object.
        object: Applied,
        /// What it waits for.
        finalizers: Vec<String>,
        /// How long was waited.
        limit: Duration,
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

/// Removes what was applied, in reverse order, each with what it owns, and waits until it is gone.
/// What is gone already, or was made anew by somebody else, is left alone.
///
/// # Errors
/// The first object that cannot be removed or stays; all others were tried.
///
/// # Access control
/// `delete` and `watch` on every kind in `applied`.
pub async fn remove(client: &Client, applied: &[Applied]) -> Result<(), ManifestError> {
    let mut first = Ok(());
    for object in applied.iter().rev() {
        let removed = remove_one(client, object).await;
        first = first.and(removed);
    }
    first
}

async fn remove_one(client: &Client, object: &Applied) -> Result<(), ManifestError> {
    let (resource, _) =
        resource_of(client, &object.api_version, &object.kind, &object.name).await?;
    let api: Api<DynamicObject> = match &object.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(object.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::foreground()
    };
    let kept = |source| ManifestError::Kept {
        object: object.clone(),
        source,
    };
    match api.delete(&object.name, &params).await {
        Ok(_) => {}
        // 409: the name is another object's by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
        Err(error) => return Err(kept(Box::new(error))),
    }
    let gone = await_condition(api.clone(), &object.name, is_deleted(&object.uid));
    match timeout(REMOVAL_LIMIT, gone).await {
        Ok(gone) => gone.map(drop).map_err(|error| kept(Box::new(error))),
        Err(_) => Err(ManifestError::Stays {
            object: object.clone(),
            finalizers: finalizers(&api, &object.name).await,
            limit: REMOVAL_LIMIT,
        }),
    }
}

async fn finalizers(api: &Api<DynamicObject>, name: &str) -> Vec<String> {
    let found = api.get_metadata_opt(name).await.ok().flatten();
    found
        .and_then(|object| object.metadata.finalizers)
        .unwrap_or_default()
}

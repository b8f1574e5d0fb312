//! Source: walkthrough step 1. The corrected defect of the original text, a StorageClass whose
//! parameter stands at the top level, is shown to be refused by strict decoding (KEP-2885).

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::ResourceExt;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};

use super::{CLASSES, class};
use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::manifests::documents;

/// The provisioner MUST become ready with no more rights than the scenario's file gives.
pub(crate) const CASE: Case = Case::step("G01", |world| Box::pin(run(world)));

const RBAC: &str = include_str!("../../../../../fixtures/walkthrough/rbac.yaml");
const DEPLOYMENT: &str = include_str!("../../../../../fixtures/walkthrough/deployment.yaml");

/// Name of the Deployment of `deployment.yaml`, and of the service account it runs under.
const NAME: &str = "nfs-client-provisioner";
/// The service account of `rbac.yaml`.
const ACCOUNT: &str = "system:serviceaccount:default:nfs-client-provisioner";

/// Group, resource, verb, and whether the file gives it.
const RIGHTS: &[(&str, &str, &str, bool)] = &[
    ("", "persistentvolumes", "create", true),
    ("", "persistentvolumes", "delete", true),
    ("", "persistentvolumes", "patch", false),
    ("", "persistentvolumes", "update", false),
    ("", "persistentvolumeclaims", "list", true),
    ("", "persistentvolumeclaims", "update", true),
    ("", "persistentvolumeclaims", "delete", false),
    ("", "persistentvolumeclaims", "create", false),
    ("storage.k8s.io", "storageclasses", "watch", true),
    ("storage.k8s.io", "storageclasses", "create", false),
    ("", "events", "patch", true),
    ("", "secrets", "get", false),
    ("", "pods", "list", false),
    ("", "nodes", "list", false),
    ("apps", "deployments", "list", false),
];

async fn run(world: &World) -> CaseResult {
    strict_decoding(world).await?;
    for file in [RBAC, DEPLOYMENT, CLASSES] {
        applies(world, file).await?;
    }
    deployed(world).await?;
    for &(group, resource, verb, given) in RIGHTS {
        let allowed = allowed(world, group, resource, verb).await?;
        ensure_eq(&format!("the right to {verb} {resource}"), &allowed, &given)?;
    }
    // Ready is what a user sees: a claim is served.
    let class = class(world, "managed-nfs-storage").await?;
    world
        .control_named("ready", &class)
        .await?
        .existing_directory()
        .await
        .map(drop)
}

/// Every object of a file of the scenario is accepted as it is written, with strict validation. It
/// is a dry run: the subject's own objects have the address of the export in the place of the file's.
async fn applies(world: &World, file: &str) -> CaseResult {
    for object in documents::<DynamicObject>(file)? {
        let types = object.types.clone().unwrap_or_default();
        let name = object.name_any();
        let expected = format!("{} {name} of the scenario is accepted", types.kind);
        let kind = GroupVersionKind::try_from(&types).map_err(|error| {
            Trouble::inconclusive(format!("a manifest of the suite has no kind: {error}"))
        })?;
        let kind = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(world.client(), &namespace, &kind),
            None => Api::all_with(world.client(), &kind),
        };
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::apply("claimcheck").force()
        }
        .validation_strict();
        match api.patch(&name, &params, &Patch::Apply(&object)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) => {
                return Err(Trouble::failed(expected, status.message.clone()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A subject that is no process of this machine runs as the scenario's Deployment, which is available
/// and runs under the account of the file.
async fn deployed(world: &World) -> CaseResult {
    if world.testbed().subject.pid.is_some() {
        return Ok(());
    }
    let what = format!("Deployment {NAME} is available");
    let deployment = world
        .eventually(NAME, what, Limit::SubjectReady, |found| {
            found
                .filter(|deployment: &&Deployment| {
                    let status = deployment.status.as_ref();
                    status.and_then(|status| status.available_replicas) >= Some(1)
                })
                .cloned()
        })
        .await?;
    let account = deployment
        .spec
        .and_then(|spec| spec.template.spec?.service_account_name);
    ensure_eq(
        "the service account of the Deployment",
        &account.as_deref(),
        &Some(NAME),
    )
}

async fn allowed(world: &World, group: &str, resource: &str, verb: &str) -> CaseResult<bool> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(ACCOUNT.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(world.client());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The class with its parameter at the top level is refused; the corrected one is not.
async fn strict_decoding(world: &World) -> CaseResult {
    let name = world.unique("stray");
    let stray = json!({"archiveOnDelete": "false"});
    let corrected = json!({"parameters": {"archiveOnDelete": "false"}});
    ensure(
        apply_strictly(world, &name, &corrected).await?,
        "the class with `archiveOnDelete` below `parameters` is accepted",
        || "the API server refused it".to_owned(),
    )?;
    ensure(
        !apply_strictly(world, &name, &stray).await?,
        "the class with `archiveOnDelete` at the top level is refused",
        || "the API server accepted it".to_owned(),
    )
}

/// Whether a dry run with strict field validation accepts the class.
async fn apply_strictly(world: &World, name: &str, extra: &Value) -> CaseResult<bool> {
    let kind = ApiResource::erase::<k8s_openapi::api::storage::v1::StorageClass>(&());
    let api: Api<DynamicObject> = Api::all_with(world.client(), &kind);
    let mut class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": world.subject().provisioner,
    });
    if let (Some(class), Some(extra)) = (class.as_object_mut(), extra.as_object()) {
        class.extend(extra.clone());
    }
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::apply("claimcheck")
    }
    .validation_strict();
    match api.patch(name, &params, &Patch::Apply(&class)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422 | 500) => {
            // Server-side apply reports a field that its schema does not know in either way.
            if status.message.contains("archiveOnDelete") {
                return Ok(false);
            }
            Err(Trouble::inconclusive(format!(
                "the dry run failed: {}",
                status.message
            )))
        }
        Err(error) => Err(error.into()),
    }
}

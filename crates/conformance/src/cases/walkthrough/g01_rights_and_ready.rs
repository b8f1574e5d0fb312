//! Source: walkthrough step 1. The corrected defect of the original text, a StorageClass whose
//! parameter stands at the top level, is shown to be refused by strict decoding (KEP-2885).

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::class;
use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;

/// The provisioner MUST become ready with no more rights than the scenario's file gives.
pub(crate) const CASE: Case = Case::step("G01", |world| Box::pin(run(world)));

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

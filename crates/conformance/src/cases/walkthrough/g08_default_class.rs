//! Source: walkthrough step 8; KEP-3333 (retroactive default class); Kubernetes documentation,
//! storage classes, "Default StorageClass" (the newest of several wins).

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::PostParams;

use super::class;
use crate::case::Case;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;

/// A class made the default MUST serve new claims without a class, and a waiting one later; of two
/// defaults the newest MUST win.
pub(crate) const CASE: Case = Case::step("G08", |world| Box::pin(run(world))).alone();

async fn run(world: &World) -> CaseResult {
    world.without_default_class().await?;
    world.new_claims_get(None).await?;
    let waiting = world.claim("waiting").create().await?;
    // Not before the control plane has looked at it and found no class.
    world
        .event(&waiting.uid(), "Normal", "FailedBinding")
        .await?;

    let global = class(world, "global").await?;
    world.make_default(&global).await?;
    serves_new_claims(world, "fresh", &global).await?;

    given(world, &waiting, &global).await?;
    waiting
        .bound_within(Limit::RetroactiveDefault)
        .await?
        .existing_directory()
        .await?;

    // Creation times have a resolution of one second: read back, not assumed.
    let newer = newer_default(world, &global).await?;
    serves_new_claims(world, "newest", &newer).await
}

async fn serves_new_claims(world: &World, name: &str, class: &StorageClass) -> CaseResult {
    // Admission reads classes from a cache that lags.
    world.new_claims_get(Some(class)).await?;
    let claim = world.claim(name).create().await?;
    let given = claim
        .object
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.clone());
    ensure_eq(
        "the class that the new claim was given",
        &given,
        &Some(class.name_any()),
    )?;
    claim.bound().await?.existing_directory().await.map(drop)
}

async fn given(world: &World, claim: &Claim<'_>, class: &StorageClass) -> CaseResult {
    let name = claim.name();
    let what = format!("claim {name} is given the class {}", class.name_any());
    world
        .eventually(
            &name,
            what,
            Limit::RetroactiveDefault,
            |claim: Option<&PersistentVolumeClaim>| {
                let given = claim?.spec.as_ref()?.storage_class_name.as_deref()?;
                (given == class.name_any()).then_some(())
            },
        )
        .await
}

/// A second default class, made in a later second than `older`: the API server's clock is read off
/// dry runs until it has moved on.
async fn newer_default(world: &World, older: &StorageClass) -> CaseResult<StorageClass> {
    let api = world.cluster_api::<StorageClass>();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut probe = older.clone();
    probe.metadata = ObjectMeta {
        name: Some(world.unique("clock")),
        ..ObjectMeta::default()
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..100 {
        ticks.tick().await;
        let now = api.create(&dry_run, &probe).await?;
        if now.creation_timestamp() > older.creation_timestamp() {
            let newer = world.class("newer").create().await?;
            world.make_default(&newer).await?;
            return Ok(newer);
        }
    }
    Err(Trouble::inconclusive(
        "the API server's clock stood still for 10 s",
    ))
}

//! Source: Kubernetes documentation, `StatefulSet`, "Stable Storage".

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// The claims of a set MUST be named `<template>-<set>-<ordinal>`, with a volume for each, and used
/// by the pod of that ordinal.
pub(crate) const CASE: Case = Case::new("T06", |world| Box::pin(run(world)));

const TEMPLATES: &[&str] = &["data", "logs"];

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let set = world.statefulset("web").replicas(2);
    let set = TEMPLATES
        .iter()
        .fold(set, |set, name| set.template(name, &class))
        .create()
        .await?;
    set.served("data").await?;
    set.ready(2).await?;

    let claims = world
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?;
    let names: BTreeSet<String> = claims.iter().map(ResourceExt::name_any).collect();
    let due = ["data-web-0", "data-web-1", "logs-web-0", "logs-web-1"].map(str::to_owned);
    ensure_eq("the claims of the set", &names, &BTreeSet::from(due))?;

    let mut volumes = BTreeSet::new();
    let mut directories = BTreeSet::new();
    for template in TEMPLATES {
        for volume in set.volumes(template, 2).await? {
            let reference = volume.spec().claim_ref.unwrap_or_default();
            ensure_eq("claimRef.uid", &reference.uid, &volume.claim.uid())?;
            volumes.insert(volume.name());
            directories.insert(volume.directory()?);
        }
    }
    ensure(
        (volumes.len(), directories.len()) == (4, 4),
        "four claims, volumes, directories",
        || format!("volumes {volumes:?}, directories {directories:?}"),
    )?;
    for ordinal in 0..2 {
        let pod = world.api::<Pod>().get(&set.pod(ordinal)).await?;
        let used: BTreeSet<String> = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
            .filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone()))
            .collect();
        let due = TEMPLATES
            .iter()
            .map(|template| set.claim_name(template, ordinal))
            .collect();
        ensure_eq::<BTreeSet<String>, BTreeSet<String>>(
            &format!("the claims that pod {} uses", set.pod(ordinal)),
            &used,
            &due,
        )?;
    }
    Ok(())
}

//! Source: persistent volumes documentation (a claim and its volume are one to one); provisioner
//! library (work is queued again for every change that a watch shows).
//!
//! Events are replayed by touching claims and volumes many times, before, during and after
//! binding. A relist needs a subject that is restarted or cut off: that comes with fault injection.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::watcher;
use serde_json::{Value, json};

use crate::case::Case;
use crate::expect::Recording;
use crate::limits::Limit;
use crate::trouble::{CaseResult, ensure_eq};
use crate::world::World;
use crate::world::claim::Claim;
use crate::world::volume::Volume;

/// However often a claim and its volume change, there MUST be one volume and one directory for it.
pub(crate) const CASE: Case = Case::new("B16", |world| Box::pin(run(world)));

const TOUCHES: usize = 12;

async fn run(world: &World) -> CaseResult {
    let volumes_api = world.cluster_api::<PersistentVolume>();
    let limit = world.limit(Limit::ControlPlane);
    let recording = Recording::start(volumes_api, watcher::Config::default(), limit).await?;
    let class = world.class("plain").create().await?;
    let mut claims = Vec::new();
    for at in 0..3 {
        claims.push(
            world
                .claim(&format!("data-{at}"))
                .class(&class)
                .create()
                .await?,
        );
    }
    let mut volumes = Vec::new();
    for bound in futures::future::join_all(claims.iter().map(touched_while_binding)).await {
        volumes.push(bound?);
    }
    for turn in 0..TOUCHES {
        for (claim, volume) in claims.iter().zip(&volumes) {
            claim.patch(touch("after", turn)).await?;
            volume.patch(touch("after", turn)).await?;
        }
    }
    volumes.push(world.control(&class).await?);
    one_each(world, &recording, &volumes).await
}

async fn touched_while_binding<'w>(claim: &Claim<'w>) -> CaseResult<Volume<'w>> {
    let touching = async {
        for turn in 0..TOUCHES {
            claim.patch(touch("while-binding", turn)).await?;
        }
        Ok(())
    };
    let (touched, bound) = tokio::join!(touching, claim.bound());
    bound.and_then(|volume| touched.map(|()| volume))
}

fn touch(when: &str, turn: usize) -> Value {
    json!({"metadata": {"annotations": {format!("claimcheck.dev/touched-{when}"): turn.to_string()}}})
}

/// The volumes of this namespace, also those that are gone again, and the entries of the export's
/// root that bear its name or the UID of one of its claims, are those of `volumes` and no others.
async fn one_each(
    world: &World,
    recording: &Recording<PersistentVolume>,
    volumes: &[Volume<'_>],
) -> CaseResult {
    let volumes_api = world.cluster_api::<PersistentVolume>();
    let now = volumes_api.list(&ListParams::default()).await?.items;
    recording.complete()?;
    let seen = recording.changes().into_iter().map(|change| change.object);
    let made: BTreeSet<String> = seen
        .chain(now)
        .filter(|volume| {
            let reference = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.claim_ref.as_ref());
            let namespace = reference.and_then(|reference| reference.namespace.as_deref());
            namespace == Some(world.namespace())
        })
        .map(|volume| volume.name_any())
        .collect();
    let bound: BTreeSet<String> = volumes.iter().map(Volume::name).collect();
    ensure_eq("the set of volumes of the case's claims", &made, &bound)?;

    let mut roots = BTreeSet::new();
    for volume in volumes {
        let directory = volume.existing_directory().await?;
        roots.insert(world.entry_of(&directory).to_owned());
    }
    let uids: Vec<String> = volumes
        .iter()
        .filter_map(|volume| volume.claim.uid())
        .collect();
    let ours = |entry: &String| {
        entry.contains(world.namespace()) || uids.iter().any(|uid| entry.contains(uid))
    };
    let entries = world.entries().await?;
    let found: BTreeSet<String> = entries.into_iter().filter(ours).collect();
    ensure_eq(
        "the set of the case's directories on the export",
        &found,
        &roots,
    )
}

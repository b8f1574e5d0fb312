//! Source: volume-provisioning proposal, deletion (a provisioner deletes what it provisioned, and
//! nothing else).
//!
//! A volume without the annotation is given policy Retain: with Delete the controller-manager
//! itself turns it Failed, for lack of a deleter in its tree.

use k8s_openapi::api::core::v1::PersistentVolume;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use testbed::nfs::view::Manifest;

use crate::case::Case;
use crate::expect;
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::manifests::typed;

/// Volumes that others provisioned, and static ones, MUST never be touched, though their
/// directories lie where the subject's own do and they name the subject's class.
pub(crate) const CASE: Case = Case::new("R11", |world| Box::pin(run(world)));

struct Foreign {
    volume: PersistentVolume,
    directory: String,
    data: Manifest,
}

async fn run(world: &World) -> CaseResult {
    let class = world
        .class("plain")
        .reclaim_policy("Delete")
        .create()
        .await?;
    let claim = world.claim("control").class(&class).create().await?;
    let control = claim.bound().await?;
    let near = format!("{}-other", world.subject().provisioner);
    let foreign = [
        released(world, &class, "static", "Retain", None).await?,
        released(
            world,
            &class,
            "elsewhere",
            "Delete",
            Some("elsewhere.example/nfs"),
        )
        .await?,
        released(world, &class, "near", "Delete", Some(&near)).await?,
    ];

    let directory = control.existing_directory().await?;
    world.fill(&directory).await?;
    claim.delete_and_wait().await?;
    control.gone().await?;
    world.nothing_at(&directory).await?;

    for Foreign {
        volume,
        directory,
        data,
    } in &foreign
    {
        let name = volume.name_any();
        let expected = format!("the foreign volume {name} stays as it was");
        let Some(now) = world
            .cluster_api::<PersistentVolume>()
            .get_opt(&name)
            .await?
        else {
            return Err(Trouble::failed(expected, "it is gone"));
        };
        let deleting = now.metadata.deletion_timestamp.is_some();
        ensure_eq(&format!("{name} being deleted"), &deleting, &false)?;
        ensure_eq(
            &format!("the specification of {name}"),
            &now.spec,
            &volume.spec,
        )?;
        ensure_eq(
            &format!("the annotations of {name}"),
            now.annotations(),
            volume.annotations(),
        )?;
        world.unchanged(directory, data).await?;
    }
    Ok(())
}

/// A volume that the suite makes by hand, over a filled directory, whose claim is long gone.
async fn released(
    world: &World,
    class: &StorageClass,
    label: &str,
    policy: &str,
    provisioned_by: Option<&str>,
) -> CaseResult<Foreign> {
    let directory = world.place_for(&format!("{}-{label}", world.namespace()));
    world.expect_directory_left(&directory);
    world.export().mkdir(&directory, 0o755).await?;
    let data = world.fill(&directory).await?;

    let name = world.unique(label);
    let annotations = provisioned_by.map(|by| json!({"pv.kubernetes.io/provisioned-by": by}));
    let mut spec = json!({
        "capacity": {"storage": "1Mi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": policy,
        "storageClassName": class.name_any(),
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": world.namespace(),
            "name": format!("gone-{label}"),
            "uid": uuid::Uuid::new_v4().to_string(),
        },
    });
    if let (Some(spec), Value::Object(source)) = (spec.as_object_mut(), world.source_of(&directory))
    {
        spec.extend(source);
    }
    let metadata = json!({"name": name, "annotations": annotations});
    let volume = typed(json!({"metadata": metadata, "spec": spec}))?;
    world.tracker.track(Tracked::Object {
        kind: Kind::Volume,
        namespace: String::new(),
        name: name.clone(),
    });
    let volumes = world.cluster_api::<PersistentVolume>();
    volumes.create(&PostParams::default(), &volume).await?;
    let wait = world.wait(format!("volume {name} is Released"), Limit::ControlPlane);
    let volume = expect::eventually(&wait, volumes, &name, |volume| {
        let status = volume?.status.as_ref()?;
        (status.phase.as_deref() == Some("Released"))
            .then(|| volume.cloned())
            .flatten()
    })
    .await?;
    Ok(Foreign {
        volume,
        directory,
        data,
    })
}

//! Claims of a case, and what becomes of them.

use std::collections::BTreeMap;
use std::time::Instant;

use futures::future::{self, Either};
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher;

use super::World;
use super::consumer::Consumer;
use super::volume::Volume;
use crate::expect;
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble};

/// A claim to be created.
pub struct ClaimBuilder<'w> {
    world: &'w World,
    claim: PersistentVolumeClaim,
}

/// A claim that was created.
pub struct Claim<'w> {
    world: &'w World,
    /// When the suite created it; a claim that somebody else made tells nothing about times.
    created: Option<Instant>,
    /// The pod that a class waits for.
    consumer: Consumer,
    /// The object as the API server answered the creation.
    pub object: PersistentVolumeClaim,
}

impl World {
    /// A claim of 1 MiB, `ReadWriteOnce`, without a class until one is set.
    pub fn claim(&self, name: &str) -> ClaimBuilder<'_> {
        let claim = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(BTreeMap::from([(
                        "storage".to_owned(),
                        Quantity("1Mi".to_owned()),
                    )])),
                    ..VolumeResourceRequirements::default()
                }),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        };
        ClaimBuilder { world: self, claim }
    }

    /// A claim that somebody else made, such as a StatefulSet: tracked from now on.
    pub fn adopt_claim(&self, object: PersistentVolumeClaim) -> Claim<'_> {
        self.track_object(Kind::Claim, &object.name_any());
        Claim {
            world: self,
            created: None,
            consumer: Consumer::of_others(),
            object,
        }
    }

    /// The positive control: a plain claim named `control` on `class` is served, in this window.
    ///
    /// # Errors
    /// A control that is not served is a failure of the subject.
    pub async fn control(&self, class: &StorageClass) -> CaseResult<Volume<'_>> {
        self.control_named("control", class).await
    }

    /// As [`World::control`], for cases that need several.
    ///
    /// # Errors
    /// As [`World::control`].
    pub async fn control_named(&self, name: &str, class: &StorageClass) -> CaseResult<Volume<'_>> {
        self.claim(name).class(class).create().await?.bound().await
    }

    pub(crate) fn track_object(&self, kind: Kind, name: &str) {
        self.tracker.track(Tracked::Object {
            kind,
            namespace: self.namespace().to_owned(),
            name: name.to_owned(),
        });
    }
}

impl<'w> ClaimBuilder<'w> {
    fn spec(&mut self) -> &mut PersistentVolumeClaimSpec {
        self.claim.spec.get_or_insert_default()
    }

    /// Sets the class by the spec's field.
    #[must_use]
    pub fn class(self, class: &StorageClass) -> Self {
        self.class_name(&class.name_any())
    }

    /// Sets the class's name by the spec's field; the empty name asks for no class.
    #[must_use]
    pub fn class_name(mut self, class: &str) -> Self {
        self.spec().storage_class_name = Some(class.to_owned());
        self
    }

    /// Sets the request: a quantity such as `10Mi`.
    #[must_use]
    pub fn request(mut self, quantity: &str) -> Self {
        let requests = BTreeMap::from([("storage".to_owned(), Quantity(quantity.to_owned()))]);
        self.spec().resources.get_or_insert_default().requests = Some(requests);
        self
    }

    /// Sets the access modes, such as `ReadWriteMany`.
    #[must_use]
    pub fn access_modes(mut self, modes: &[&str]) -> Self {
        self.spec().access_modes = Some(modes.iter().map(|&mode| mode.to_owned()).collect());
        self
    }

    /// Sets one annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        let annotations = self.claim.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets by hand both annotations that hand a claim to `provisioner`: those that the
    /// controller-manager sets, and that a provisioner listens to.
    #[must_use]
    pub fn handed_to(self, provisioner: &str) -> Self {
        self.annotation("volume.kubernetes.io/storage-provisioner", provisioner)
            .annotation("volume.beta.kubernetes.io/storage-provisioner", provisioner)
    }

    /// Sets one label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        let labels = self.claim.metadata.labels.get_or_insert_default();
        labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Changes the object in a way that has no method of its own.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut PersistentVolumeClaimSpec)) -> Self {
        change(self.spec());
        self
    }

    /// Creates the claim.
    ///
    /// # Errors
    /// Inconclusive when the API refuses it.
    pub async fn create(self) -> CaseResult<Claim<'w>> {
        let world = self.world;
        let name = self.claim.name_any();
        world.track_object(Kind::Claim, &name);
        let api = world.api::<PersistentVolumeClaim>();
        let created = Instant::now();
        let object = api.create(&PostParams::default(), &self.claim).await?;
        world.mark(format!("claim {name}"), "created");
        let consumer = Consumer::default();
        world.stand_in(&object, &consumer).await?;
        Ok(Claim {
            world,
            created: Some(created),
            consumer,
            object,
        })
    }
}

impl<'w> Claim<'w> {
    /// The claim's name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// The claim's UID.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// Waits until the claim is Bound, and reads its volume.
    ///
    /// # Errors
    /// Failed when it is not Bound within limit `claim-bound`, or names a volume that is not there.
    pub async fn bound(&self) -> CaseResult<Volume<'w>> {
        self.bound_within(Limit::ClaimBound).await
    }

    /// As [`Claim::bound`], with another limit.
    ///
    /// # Errors
    /// As [`Claim::bound`].
    pub async fn bound_within(&self, limit: Limit) -> CaseResult<Volume<'w>> {
        let world = self.world;
        let name = self.name();
        let what = format!("claim {name} is Bound");
        let bound = world
            .eventually(&name, what, limit, |claim| is_bound(claim).cloned())
            .await;
        let bound = match bound {
            Ok(bound) => bound,
            Err(trouble) => return Err(world.with_events(trouble, &self.uid()).await),
        };
        if let Some(created) = self.created {
            world.sample("claim-bound", created.elapsed());
        }
        world.mark(format!("claim {name}"), "seen Bound");
        world.stand_down(&self.consumer).await?;
        let volume_name = bound
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone())
            .unwrap_or_default();
        let volume = world
            .cluster_api::<PersistentVolume>()
            .get_opt(&volume_name)
            .await?;
        match volume {
            Some(object) => Ok(Volume::new(world, object, bound)),
            None => Err(Trouble::failed(
                format!("claim {name} is bound to a volume that exists"),
                format!("its volumeName is {volume_name:?}, and there is no such volume"),
            )),
        }
    }

    /// Waits until a volume names this claim in its claimRef, whether the two get bound or not: a
    /// volume that does not fit is never bound, and is to be judged by what is wrong with it.
    ///
    /// # Errors
    /// Failed when there is none within limit `claim-bound`.
    pub async fn provisioned(&self) -> CaseResult<Volume<'w>> {
        let world = self.world;
        let uid = self.uid();
        let what = format!("a volume is made for claim {}", self.name());
        let wait = world.wait(what, Limit::ClaimBound);
        let volumes = world.cluster_api::<PersistentVolume>();
        let made = expect::eventually_among(&wait, volumes, watcher::Config::default(), |all| {
            let ours = |volume: &&PersistentVolume| {
                let reference = volume
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.claim_ref.as_ref());
                reference.is_some_and(|reference| reference.uid.as_deref() == Some(&uid))
            };
            all.values().find(ours).cloned()
        });
        match made.await {
            Ok(volume) => Ok(Volume::new(world, volume, self.object.clone())),
            // The volumes of other cases would be shown otherwise.
            Err(Trouble::Failed(finding)) => {
                let trouble = Trouble::failed(finding.expected, "no volume's claimRef has its UID");
                Err(world.with_events(trouble, &uid).await)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Waits until the claim is either Bound, which gives its volume, or refused by the subject with
    /// a Warning event `ProvisioningFailed`, which gives `None`: for rules that leave both open.
    ///
    /// # Errors
    /// Failed when neither happens within limit `claim-bound`.
    pub async fn bound_or_refused(&self) -> CaseResult<Option<Volume<'w>>> {
        let uid = self.uid();
        let bound = Box::pin(self.bound());
        let refused = Box::pin(self.world.refused(&uid, ""));
        match future::select(bound, refused).await {
            Either::Left((Ok(volume), _)) => Ok(Some(volume)),
            Either::Left((Err(trouble), refused)) => {
                refused.await.map(|_| None).map_err(|_| trouble)
            }
            Either::Right((Ok(_), _)) => Ok(None),
            Either::Right((Err(_), bound)) => bound.await.map(Some),
        }
    }

    /// The claim as it is now; `None` when it is gone.
    ///
    /// # Errors
    /// Inconclusive when it cannot be read.
    pub async fn now(&self) -> CaseResult<Option<PersistentVolumeClaim>> {
        Ok(self
            .world
            .api::<PersistentVolumeClaim>()
            .get_opt(&self.name())
            .await?)
    }

    /// Fails unless the claim is Pending and bound to nothing, now. Ask it after the control.
    ///
    /// # Errors
    /// Failed when it has a volume or another phase.
    pub async fn still_pending(&self) -> CaseResult {
        let expected = format!("claim {} stays Pending without a volume", self.name());
        let Some(claim) = self.now().await? else {
            return Err(Trouble::failed(expected, "the claim is gone"));
        };
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.clone());
        let volume = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.clone());
        if phase.as_deref() == Some("Pending") && volume.is_none() {
            return Ok(());
        }
        let observed = format!("phase {}, volumeName {volume:?}", phase.unwrap_or_default());
        Err(Trouble::failed(expected, observed).with_evidence(expect::text(&claim)))
    }

    /// Fails if any volume refers to this claim, or any directory on the export bears its name or
    /// its UID. Ask it after the control.
    ///
    /// # Errors
    /// Failed with the volumes and directories found.
    pub async fn has_no_volume_or_directory(&self) -> CaseResult {
        let name = self.name();
        let uid = self.uid();
        let volumes = self
            .world
            .cluster_api::<PersistentVolume>()
            .list(&ListParams::default())
            .await?;
        let mut found: Vec<String> = volumes
            .items
            .iter()
            .filter(|volume| {
                let reference = volume
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.claim_ref.as_ref());
                reference.is_some_and(|reference| reference.uid.as_deref() == Some(&uid))
                    || volume.name_any().contains(&uid)
            })
            .map(|volume| format!("volume {}", volume.name_any()))
            .collect();
        let named = format!("{}-{name}", self.world.namespace());
        for entry in self.world.entries().await? {
            // `data` must not be taken for `data-1`: the default layout goes on with `-pvc-`.
            let rest = self.world.own_path(&entry).strip_prefix(&named);
            let bears = entry.contains(&uid)
                || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("-pvc-"));
            if bears {
                found.push(format!("directory {entry}"));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        Err(Trouble::failed(
            format!("claim {name} has no volume and no directory"),
            format!("there is {}", found.join(", ")),
        ))
    }

    /// Fails unless the subject has refused the claim: it wrote a Warning event
    /// `ProvisioningFailed`, and there is no volume and no directory. Ask it after the control.
    ///
    /// # Errors
    /// Failed when there is no such event within limit `event`, or the claim was served.
    pub async fn refused(&self) -> CaseResult {
        // First, since nobody writes that event about a claim that was served.
        self.not_served().await?;
        self.world.refused(&self.uid(), "").await?;
        self.not_served().await
    }

    /// Fails unless the claim is Pending, without a volume and without a directory, now. Ask it
    /// after the control.
    ///
    /// # Errors
    /// As [`Claim::still_pending`] and [`Claim::has_no_volume_or_directory`].
    pub async fn not_served(&self) -> CaseResult {
        self.has_no_volume_or_directory().await?;
        self.still_pending().await
    }

    /// Deletes the claim; it is gone, or about to be, when this returns.
    ///
    /// # Errors
    /// Inconclusive when the API refuses.
    pub async fn delete(&self) -> CaseResult {
        // A claim stays while a pod uses it.
        self.world.stand_down(&self.consumer).await?;
        let api = self.world.api::<PersistentVolumeClaim>();
        match api.delete(&self.name(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        self.world.mark(format!("claim {}", self.name()), "deleted");
        Ok(())
    }

    /// Deletes the claim and waits until it is gone.
    ///
    /// # Errors
    /// Failed when it is not gone within limit `control-plane`.
    pub async fn delete_and_wait(&self) -> CaseResult {
        self.delete().await?;
        let name = self.name();
        let uid = self.uid();
        let what = format!("claim {name} is gone");
        self.world
            .eventually(
                &name,
                what,
                Limit::ControlPlane,
                |claim: Option<&PersistentVolumeClaim>| {
                    claim
                        .is_none_or(|claim| claim.uid().as_deref() != Some(&uid))
                        .then_some(())
                },
            )
            .await
    }

    /// Applies a JSON merge patch (RFC 7386) to the claim.
    ///
    /// # Errors
    /// Failed when the claim is gone; inconclusive when the API refuses.
    pub async fn patch(&self, patch: serde_json::Value) -> CaseResult<PersistentVolumeClaim> {
        let name = self.name();
        let api = self.world.api::<PersistentVolumeClaim>();
        match api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Trouble::failed(
                format!("claim {name} is there"),
                "it is gone",
            )),
            answer => Ok(answer?),
        }
    }
}

fn is_bound(claim: Option<&PersistentVolumeClaim>) -> Option<&PersistentVolumeClaim> {
    claim.filter(|claim| {
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Bound")
    })
}

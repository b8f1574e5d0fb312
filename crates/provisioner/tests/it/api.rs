//! A cluster in memory: objects, watches, and as much of the controller manager as binds claims
//! and releases volumes. Beyond 500 lines because it is one object and the trait it stands for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::watcher;
use provisioner::cluster::{ApiCause, ApiError, ApiResult, Changes, ClusterApi, Deletion, Right};

use crate::memory::Steps;
use crate::watched::Watched;

#[derive(Default)]
struct Objects {
    claims: BTreeMap<String, PersistentVolumeClaim>,
    volumes: BTreeMap<String, PersistentVolume>,
    classes: BTreeMap<String, StorageClass>,
    lease: Option<Lease>,
    endpoints: Option<Endpoints>,
    events: Vec<Event>,
    version: u64,
    claim_watches: Watched<PersistentVolumeClaim>,
    volume_watches: Watched<PersistentVolume>,
    class_watches: Watched<StorageClass>,
    /// Calls that fail, by verb and kind, with the number of times.
    faults: BTreeMap<&'static str, (ApiCause, usize)>,
    /// How often each call was made.
    calls: BTreeMap<&'static str, usize>,
    /// Watches never tell anything.
    mute: bool,
    /// The next volume is not stored, and its creation not answered, until it is let in late.
    delayed: bool,
    /// How long an event takes to be stored.
    event_takes: Duration,
    late: Option<PersistentVolume>,
}

/// The objects; outlive the provisioners that use them.
#[derive(Default)]
pub(crate) struct Store {
    objects: Mutex<Objects>,
}

impl Objects {
    fn version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn set_claim(&mut self, mut claim: PersistentVolumeClaim) {
        claim.metadata.resource_version = Some(self.version());
        self.claims.insert(claim.name_any(), claim.clone());
        self.claim_watches.tell(watcher::Event::Apply(claim));
    }

    fn set_volume(&mut self, mut volume: PersistentVolume) -> PersistentVolume {
        volume.metadata.resource_version = Some(self.version());
        self.volumes.insert(volume.name_any(), volume.clone());
        self.volume_watches
            .tell(watcher::Event::Apply(volume.clone()));
        volume
    }

    fn drop_volume(&mut self, name: &str) {
        if let Some(volume) = self.volumes.remove(name) {
            self.volume_watches.tell(watcher::Event::Delete(volume));
        }
    }

    /// The controller manager: binds a claim to the volume made for it, releases a volume whose
    /// claim is gone.
    fn control(&mut self) {
        let volumes: Vec<PersistentVolume> = self.volumes.values().cloned().collect();
        for mut volume in volumes {
            let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone())
            else {
                continue;
            };
            let phase = volume
                .status
                .clone()
                .unwrap_or_default()
                .phase
                .unwrap_or_default();
            let claim = self.claims.get(&reference.name.unwrap()).cloned();
            let name = volume.name_any();
            match claim.filter(|claim| claim.metadata.uid == reference.uid) {
                Some(mut claim) if phase.is_empty() => {
                    volume.status.get_or_insert_default().phase = Some("Bound".to_owned());
                    self.set_volume(volume);
                    claim.spec.as_mut().unwrap().volume_name = Some(name);
                    claim.status.get_or_insert_default().phase = Some("Bound".to_owned());
                    self.set_claim(claim);
                }
                None if phase != "Released" => {
                    volume.status.get_or_insert_default().phase = Some("Released".to_owned());
                    self.set_volume(volume);
                }
                _ => {}
            }
        }
    }

    fn fault(&mut self, call: &'static str) -> ApiResult<()> {
        *self.calls.entry(call).or_default() += 1;
        match self.faults.get_mut(call) {
            Some((cause, times)) if *times > 0 => {
                *times -= 1;
                Err(error(call, *cause))
            }
            _ => Ok(()),
        }
    }
}

fn error(verb: &'static str, cause: ApiCause) -> ApiError {
    ApiError {
        verb,
        object: "object".to_owned(),
        cause,
        message: cause.category().to_owned(),
    }
}

impl Store {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn class(&self, class: StorageClass) {
        let mut objects = self.objects.lock().unwrap();
        objects.classes.insert(class.name_any(), class.clone());
        objects.class_watches.tell(watcher::Event::Apply(class));
    }

    pub(crate) fn delete_class(&self, name: &str) {
        let mut objects = self.objects.lock().unwrap();
        let class = objects.classes.remove(name).unwrap();
        objects.class_watches.tell(watcher::Event::Delete(class));
    }

    pub(crate) fn claim(&self, claim: PersistentVolumeClaim) {
        self.objects.lock().unwrap().set_claim(claim);
    }

    pub(crate) fn delete_claim(&self, name: &str) {
        let mut objects = self.objects.lock().unwrap();
        let claim = objects.claims.remove(name).unwrap();
        objects.claim_watches.tell(watcher::Event::Delete(claim));
        objects.control();
    }

    pub(crate) fn volume(&self, volume: PersistentVolume) {
        self.objects.lock().unwrap().set_volume(volume);
    }

    pub(crate) fn edit_volume(&self, name: &str, edit: impl FnOnce(&mut PersistentVolume)) {
        let mut objects = self.objects.lock().unwrap();
        let mut volume = objects.volumes[name].clone();
        edit(&mut volume);
        objects.set_volume(volume);
    }

    /// Deletes a volume object as an administrator who removes every finalizer.
    pub(crate) fn force_delete_volume(&self, name: &str) {
        self.objects.lock().unwrap().drop_volume(name);
    }

    pub(crate) fn lock_holder(&self) -> Option<String> {
        self.objects
            .lock()
            .unwrap()
            .lease
            .as_ref()?
            .spec
            .as_ref()?
            .holder_identity
            .clone()
    }

    /// Takes the lock as a process does that believes the holder dead.
    pub(crate) fn steal_lock(&self, holder: &str) {
        let mut objects = self.objects.lock().unwrap();
        let version = objects.version();
        let lease = objects.lease.as_mut().unwrap();
        lease.metadata.resource_version = Some(version);
        lease.spec.as_mut().unwrap().holder_identity = Some(holder.to_owned());
    }

    pub(crate) fn fail(&self, call: &'static str, cause: ApiCause, times: usize) {
        self.objects
            .lock()
            .unwrap()
            .faults
            .insert(call, (cause, times));
    }

    pub(crate) fn calls(&self, call: &'static str) -> usize {
        self.objects
            .lock()
            .unwrap()
            .calls
            .get(call)
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn volumes(&self) -> Vec<PersistentVolume> {
        self.objects
            .lock()
            .unwrap()
            .volumes
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn bound_to(&self, claim: &str) -> Option<String> {
        self.objects
            .lock()
            .unwrap()
            .claims
            .get(claim)?
            .spec
            .as_ref()?
            .volume_name
            .clone()
    }

    pub(crate) fn has_claim(&self, claim: &str) -> bool {
        self.objects.lock().unwrap().claims.contains_key(claim)
    }

    /// `reason: message` of every event, with its count.
    pub(crate) fn events(&self) -> Vec<(String, i32)> {
        let objects = self.objects.lock().unwrap();
        let text = |event: &Event| {
            format!(
                "{}: {}",
                event.reason.clone().unwrap_or_default(),
                event.message.clone().unwrap_or_default()
            )
        };
        objects
            .events
            .iter()
            .map(|event| (text(event), event.count.unwrap_or(0)))
            .collect()
    }
}

/// The API as one provisioner sees it; ends with its [`Steps`].
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) steps: Arc<Steps>,
}

impl Api {
    fn now<T>(
        &self,
        call: &'static str,
        act: impl FnOnce(&mut Objects) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let mut objects = self.store.objects.lock().unwrap();
        objects.fault(call)?;
        act(&mut objects)
    }

    /// A change; the process may end before it and, with the answer lost, after it.
    async fn change<T>(
        &self,
        call: &'static str,
        act: impl FnOnce(&mut Objects) -> ApiResult<T>,
    ) -> ApiResult<T> {
        self.steps.take().await;
        let answer = self.now(call, act);
        self.steps.take().await;
        answer
    }
}

#[async_trait]
impl ClusterApi for Api {
    async fn get_claim(
        &self,
        _namespace: &str,
        name: &str,
    ) -> ApiResult<Option<PersistentVolumeClaim>> {
        self.now("get claim", |objects| Ok(objects.claims.get(name).cloned()))
    }

    async fn get_volume(&self, name: &str) -> ApiResult<Option<PersistentVolume>> {
        self.now("get volume", |objects| {
            Ok(objects.volumes.get(name).cloned())
        })
    }

    async fn create_volume(&self, volume: &PersistentVolume) -> ApiResult<PersistentVolume> {
        let delayed = {
            let mut objects = self.store.objects.lock().unwrap();
            std::mem::take(&mut objects.delayed).then(|| objects.late = Some(volume.clone()))
        };
        if delayed.is_some() {
            std::future::pending::<()>().await;
        }
        self.change("create volume", |objects| {
            if objects.volumes.contains_key(&volume.name_any()) {
                return Err(error("create", ApiCause::AlreadyExists));
            }
            let mut volume = volume.clone();
            volume.metadata.uid = Some(format!("uid-of-{}", volume.name_any()));
            let volume = objects.set_volume(volume);
            objects.control();
            Ok(volume)
        })
        .await
    }

    async fn delete_volume(&self, name: &str, uid: &str) -> ApiResult<Deletion> {
        self.change("delete volume", |objects| {
            let Some(mut volume) = objects.volumes.get(name).cloned() else {
                return Ok(Deletion::Gone);
            };
            if volume.metadata.uid.as_deref() != Some(uid) {
                return Ok(Deletion::Other);
            }
            if volume.finalizers().is_empty() {
                objects.drop_volume(name);
                return Ok(Deletion::Gone);
            }
            volume.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
            Ok(Deletion::Going(Box::new(objects.set_volume(volume))))
        })
        .await
    }

    async fn set_finalizers(
        &self,
        name: &str,
        resource_version: &str,
        finalizers: &[String],
    ) -> ApiResult<()> {
        self.change("patch volume", |objects| {
            let Some(mut volume) = objects.volumes.get(name).cloned() else {
                return Ok(());
            };
            if volume.metadata.resource_version.as_deref() != Some(resource_version) {
                return Err(error("patch", ApiCause::Conflict));
            }
            volume.metadata.finalizers = Some(finalizers.to_vec());
            if finalizers.is_empty() && volume.metadata.deletion_timestamp.is_some() {
                objects.drop_volume(name);
            } else {
                objects.set_volume(volume);
            }
            Ok(())
        })
        .await
    }

    async fn create_event(&self, event: &Event) -> ApiResult<()> {
        let takes = self.store.objects.lock().unwrap().event_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.now("create event", |objects| {
            objects.events.push(event.clone());
            Ok(())
        })
    }

    async fn raise_event(&self, event: &Event) -> ApiResult<()> {
        self.now("raise event", |objects| {
            let found = objects
                .events
                .iter_mut()
                .find(|known| known.metadata.name == event.metadata.name);
            let Some(found) = found else {
                return Err(error("patch", ApiCause::NotFound));
            };
            found.count = event.count;
            Ok(())
        })
    }

    async fn get_lease(&self, _namespace: &str, _name: &str) -> ApiResult<Option<Lease>> {
        self.now("get lease", |objects| Ok(objects.lease.clone()))
    }

    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.change("create lease", |objects| {
            if objects.lease.is_some() {
                return Err(error("create", ApiCause::AlreadyExists));
            }
            let mut lease = lease.clone();
            lease.metadata.resource_version = Some(objects.version());
            objects.lease = Some(lease.clone());
            Ok(lease)
        })
        .await
    }

    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.change("update lease", |objects| {
            let found = objects
                .lease
                .as_ref()
                .ok_or_else(|| error("update", ApiCause::NotFound))?;
            if found.metadata.resource_version != lease.metadata.resource_version {
                return Err(error("update", ApiCause::Conflict));
            }
            let mut lease = lease.clone();
            lease.metadata.resource_version = Some(objects.version());
            objects.lease = Some(lease.clone());
            Ok(lease)
        })
        .await
    }

    async fn get_endpoints(&self, _namespace: &str, _name: &str) -> ApiResult<Option<Endpoints>> {
        Ok(self.store.endpoints())
    }

    async fn create_endpoints(&self, _endpoints: &Endpoints) -> ApiResult<Endpoints> {
        unreachable!("leases are granted: the old lock is only looked at")
    }

    async fn update_endpoints(&self, _endpoints: &Endpoints) -> ApiResult<Endpoints> {
        unreachable!("leases are granted: the old lock is only looked at")
    }

    async fn annotate_volume(&self, name: &str, annotations: &[(&str, &str)]) -> ApiResult<()> {
        self.store.edit_volume(name, |volume| {
            for (key, value) in annotations {
                let (key, value) = ((*key).to_owned(), (*value).to_owned());
                volume.annotations_mut().insert(key, value);
            }
        });
        Ok(())
    }

    async fn is_granted(&self, right: &Right, _lock_namespace: &str) -> ApiResult<bool> {
        self.now("review", |_| Ok(()))?;
        // The role of nfs-subdir: volumes may not be patched.
        Ok(
            !(right.resource == "persistentvolumes" && right.verb == "patch")
                || self
                    .store
                    .objects
                    .lock()
                    .unwrap()
                    .calls
                    .contains_key("grant patch"),
        )
    }

    fn watch_claims(&self) -> Changes<PersistentVolumeClaim> {
        let mut objects = self.store.objects.lock().unwrap();
        if objects.mute {
            return futures::stream::pending().boxed();
        }
        let listed = objects.claims.values().cloned().collect();
        objects.claim_watches.begin(listed)
    }

    fn watch_volumes(&self) -> Changes<PersistentVolume> {
        let mut objects = self.store.objects.lock().unwrap();
        if objects.mute {
            return futures::stream::pending().boxed();
        }
        let listed = objects.volumes.values().cloned().collect();
        objects.volume_watches.begin(listed)
    }

    fn watch_classes(&self) -> Changes<StorageClass> {
        let mut objects = self.store.objects.lock().unwrap();
        if objects.mute {
            return futures::stream::pending().boxed();
        }
        let listed = objects.classes.values().cloned().collect();
        objects.class_watches.begin(listed)
    }
}

impl Store {
    /// Watches begun from now on tell nothing.
    pub(crate) fn mute(&self, mute: bool) {
        self.objects.lock().unwrap().mute = mute;
    }

    /// Says how far the watches of claims lag behind.
    pub(crate) fn claims_watched(&self, act: impl FnOnce(&mut Watched<PersistentVolumeClaim>)) {
        act(&mut self.objects.lock().unwrap().claim_watches);
    }

    /// Says how far the watches of volumes lag behind.
    pub(crate) fn volumes_watched(&self, act: impl FnOnce(&mut Watched<PersistentVolume>)) {
        act(&mut self.objects.lock().unwrap().volume_watches);
    }

    /// Every watch ends, as a stream does whose task died.
    pub(crate) fn end_watches(&self) {
        let mut objects = self.objects.lock().unwrap();
        objects.claim_watches.end();
        objects.volume_watches.end();
        objects.class_watches.end();
    }

    /// Events take this long to be stored from now on.
    pub(crate) fn slow_events(&self, takes: Duration) {
        self.objects.lock().unwrap().event_takes = takes;
    }

    /// The next creation of a volume is carried out late and never answered.
    pub(crate) fn delay_creation(&self) {
        self.objects.lock().unwrap().delayed = true;
    }

    pub(crate) fn is_delayed(&self) -> bool {
        self.objects.lock().unwrap().late.is_some()
    }

    /// Carries the delayed creation out.
    pub(crate) fn create_late(&self) {
        let mut objects = self.objects.lock().unwrap();
        let mut volume = objects.late.take().unwrap();
        volume.metadata.uid = Some("late".to_owned());
        objects.set_volume(volume);
        objects.control();
    }

    /// Deletes a volume as an administrator does: it goes with its last finalizer.
    pub(crate) fn delete_volume(&self, name: &str) {
        let mut objects = self.objects.lock().unwrap();
        let mut volume = objects.volumes[name].clone();
        if volume.finalizers().is_empty() {
            objects.drop_volume(name);
        } else {
            volume.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
            objects.set_volume(volume);
        }
    }

    pub(crate) fn lock_owner(&self) -> Option<String> {
        let objects = self.objects.lock().unwrap();
        objects
            .lease
            .as_ref()?
            .annotations()
            .get("claimcheck.dev/owner")
            .cloned()
    }

    /// What an older provisioner leaves where it keeps its lock.
    pub(crate) fn set_endpoints(&self, endpoints: Option<Endpoints>) {
        self.objects.lock().unwrap().endpoints = endpoints;
    }

    fn endpoints(&self) -> Option<Endpoints> {
        self.objects.lock().unwrap().endpoints.clone()
    }

    /// Forgets the lock.
    pub(crate) fn delete_lock(&self) {
        self.objects.lock().unwrap().lease = None;
    }

    /// Lets the provisioner patch volumes, so that it uses the finalizer.
    pub(crate) fn grant_patch(&self) {
        self.objects.lock().unwrap().calls.insert("grant patch", 1);
    }
}

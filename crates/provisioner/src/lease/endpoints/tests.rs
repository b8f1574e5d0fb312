use std::sync::Mutex as StdMutex;

use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Fence;
use crate::cluster::{Changes, Deletion, Right};
use crate::config::LeaseTimes;
use crate::lease::{Lock, holder};

/// The paused clock of a test.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.0.elapsed() + Duration::from_secs(1000)
    }
}

/// One Lease and one Endpoints object, with optimistic locking.
#[derive(Default)]
struct Store {
    lease: StdMutex<Option<Lease>>,
    endpoints: StdMutex<Option<Endpoints>>,
    forbidden: bool,
}

fn refuse(cause: ApiCause) -> ApiError {
    ApiError {
        verb: "update",
        object: "lock".to_owned(),
        cause,
        message: String::new(),
    }
}

fn bump(metadata: &mut ObjectMeta) {
    let version: u64 = metadata
        .resource_version
        .as_deref()
        .map_or(0, |version| version.parse().unwrap());
    metadata.resource_version = Some((version + 1).to_string());
}

impl Store {
    /// The older provisioner writes its record.
    fn old_renews(&self, holder: &str, seconds: i32, at: &str) {
        let record = json!({
            "holderIdentity": holder, "leaseDurationSeconds": seconds,
            "acquireTime": "2021-03-01T10:00:00Z", "renewTime": at, "leaderTransitions": 4,
        });
        let mut endpoints = self.endpoints.lock().unwrap();
        let endpoints = endpoints.get_or_insert_default();
        endpoints
            .annotations_mut()
            .insert(OLD_LOCK.to_owned(), record.to_string());
        bump(&mut endpoints.metadata);
    }

    fn record(&self) -> Value {
        let endpoints = self.endpoints.lock().unwrap();
        serde_json::from_str(&endpoints.as_ref().unwrap().annotations()[OLD_LOCK]).unwrap()
    }
}

#[async_trait]
impl ClusterApi for Store {
    async fn get_lease(&self, _: &str, _: &str) -> ApiResult<Option<Lease>> {
        Ok(self.lease.lock().unwrap().clone())
    }
    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        let mut lease = lease.clone();
        bump(&mut lease.metadata);
        *self.lease.lock().unwrap() = Some(lease.clone());
        Ok(lease)
    }
    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.create_lease(lease).await
    }
    async fn get_endpoints(&self, _: &str, _: &str) -> ApiResult<Option<Endpoints>> {
        if self.forbidden {
            return Err(refuse(ApiCause::Forbidden));
        }
        Ok(self.endpoints.lock().unwrap().clone())
    }
    async fn create_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        let mut endpoints = endpoints.clone();
        bump(&mut endpoints.metadata);
        *self.endpoints.lock().unwrap() = Some(endpoints.clone());
        Ok(endpoints)
    }
    async fn update_endpoints(&self, endpoints: &Endpoints) -> ApiResult<Endpoints> {
        let found = self.endpoints.lock().unwrap().clone().unwrap();
        if found.metadata.resource_version != endpoints.metadata.resource_version {
            return Err(refuse(ApiCause::Conflict));
        }
        self.create_endpoints(endpoints).await
    }
    async fn get_claim(&self, _: &str, _: &str) -> ApiResult<Option<PersistentVolumeClaim>> {
        unreachable!("the lock has its own objects only")
    }
    async fn get_volume(&self, _: &str) -> ApiResult<Option<PersistentVolume>> {
        unreachable!("the lock has its own objects only")
    }
    async fn create_volume(&self, _: &PersistentVolume) -> ApiResult<PersistentVolume> {
        unreachable!("the lock has its own objects only")
    }
    async fn delete_volume(&self, _: &str, _: &str) -> ApiResult<Deletion> {
        unreachable!("the lock has its own objects only")
    }
    async fn set_finalizers(&self, _: &str, _: &str, _: &[String]) -> ApiResult<()> {
        unreachable!("the lock has its own objects only")
    }
    async fn annotate_volume(&self, _: &str, _: &[(&str, &str)]) -> ApiResult<()> {
        unreachable!("the lock has its own objects only")
    }
    async fn create_event(&self, _: &Event) -> ApiResult<()> {
        unreachable!("the lock has its own objects only")
    }
    async fn raise_event(&self, _: &Event) -> ApiResult<()> {
        unreachable!("the lock has its own objects only")
    }
    async fn is_granted(&self, _: &Right, _: &str) -> ApiResult<bool> {
        unreachable!("the lock has its own objects only")
    }
    fn watch_claims(&self) -> Changes<PersistentVolumeClaim> {
        unreachable!("the lock has its own objects only")
    }
    fn watch_volumes(&self) -> Changes<PersistentVolume> {
        unreachable!("the lock has its own objects only")
    }
    fn watch_classes(&self) -> Changes<StorageClass> {
        unreachable!("the lock has its own objects only")
    }
}

fn lock(objects: Arc<dyn LockObjects>, clock: Arc<dyn Clock>) -> Lock {
    Lock {
        cluster: objects,
        namespace: "ns".to_owned(),
        name: "westos.org-nfs".to_owned(),
        identity: "new".to_owned(),
        times: LeaseTimes::default(),
        clock: clock.clone(),
        fence: Fence::closed(clock),
    }
}

fn beside(store: &Arc<Store>) -> Lock {
    let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
    let objects = BesideEndpoints::new(store.clone(), clock.clone(), Duration::from_secs(15));
    lock(Arc::new(objects), clock)
}

fn on_endpoints(store: &Arc<Store>) -> Lock {
    let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
    lock(Arc::new(OnEndpoints(store.clone())), clock)
}

#[tokio::test(start_paused = true)]
async fn the_event_of_the_lock_is_about_the_object_that_is_the_lock() {
    for (lock, version, kind) in [
        (on_endpoints(&Arc::default()), "v1", "Endpoints"),
        (beside(&Arc::default()), "coordination.k8s.io/v1", "Lease"),
    ] {
        let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
        let reference = lock.reference(&lease);
        assert_eq!(reference.api_version.as_deref(), Some(version));
        assert_eq!(reference.kind.as_deref(), Some(kind));
        assert_eq!(reference.namespace.as_deref(), Some("ns"));
        assert_eq!(reference.name.as_deref(), Some("westos.org-nfs"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_record_of_an_older_provisioner_holds_the_lock_back() {
    let store = Arc::new(Store::default());
    store.old_renews("old", 15, "2026-01-01T00:00:00Z");
    let start = Instant::now();
    let renewing = {
        let store = store.clone();
        tokio::spawn(async move {
            for second in 1..=9 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                store.old_renews("old", 15, &format!("2026-01-01T00:00:0{second}Z"));
            }
        })
    };
    let lease = beside(&store)
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    // Its last renewal is at 45 s.
    assert!(
        start.elapsed() >= Duration::from_mins(1),
        "{:?}",
        start.elapsed()
    );
    assert!(
        start.elapsed() < Duration::from_secs(64),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(holder(&lease), Some("new"));
    assert_eq!(
        store.record()["holderIdentity"],
        "old",
        "its record is left alone"
    );
    renewing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_record_without_a_holder_or_none_at_all_holds_nothing_back() {
    let store = Arc::new(Store::default());
    let start = Instant::now();
    beside(&store)
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    *store.lease.lock().unwrap() = None;
    store.old_renews("", 15, "2026-01-01T00:00:00Z");
    beside(&store)
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_older_provisioner_that_starts_meanwhile_ends_ours() {
    let store = Arc::new(Store::default());
    let lock = beside(&store);
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    store.old_renews("old", 15, "2026-01-01T00:00:00Z");
    let start = Instant::now();
    let error = lock
        .keep(lease, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("somebody else holds it"),
        "{error}"
    );
    assert!(
        start.elapsed() <= Duration::from_secs(2),
        "at the next renewal"
    );
    assert!(lock.fence.check().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_lock_is_given_back_although_an_older_provisioner_holds_the_old_one() {
    let store = Arc::new(Store::default());
    let lock = beside(&store);
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    store.old_renews("old", 15, "2026-01-01T00:00:00Z");
    lock.release(lease).await;
    assert_eq!(holder(store.lease.lock().unwrap().as_ref().unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_was_taken_away_meanwhile_stops_nothing() {
    let store = Arc::new(Store {
        forbidden: true,
        ..Store::default()
    });
    beside(&store)
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_record_nobody_can_read_holds_the_lock_back_with_a_word() {
    let store = Arc::new(Store::default());
    let mut endpoints = Endpoints::default();
    endpoints
        .annotations_mut()
        .insert(OLD_LOCK.to_owned(), "{".to_owned());
    *store.endpoints.lock().unwrap() = Some(endpoints);
    let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
    let objects = BesideEndpoints::new(store.clone(), clock, Duration::from_secs(15));
    let error = objects.get_lease("ns", "x").await.unwrap_err().to_string();
    assert!(
        error.contains("remove the annotation if no provisioner runs"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_leases_the_lock_is_the_older_provisioners_own() {
    let store = Arc::new(Store::default());
    let mut labelled = Endpoints::default();
    labelled.metadata.labels = Some([("kept".to_owned(), "yes".to_owned())].into());
    *store.endpoints.lock().unwrap() = Some(labelled);
    store.old_renews("old", 15, "2026-01-01T00:00:00Z");
    let lock = on_endpoints(&store);
    let start = Instant::now();
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 15);
    let record = store.record();
    assert_eq!(record["holderIdentity"], "new");
    assert_eq!(record["leaseDurationSeconds"], 15);
    assert_eq!(record["leaderTransitions"], 5);
    // Go's RFC 3339 without fractions.
    assert_eq!(
        record["renewTime"].as_str().unwrap().len(),
        "2026-01-01T00:00:00Z".len()
    );

    // The owner's id and whatever else is on the object stay.
    let lease = lock.set_owner(lease, "us").await.unwrap();
    assert_eq!(crate::lease::owner(&lease).as_deref(), Some("us"));
    let endpoints = store.endpoints.lock().unwrap().clone().unwrap();
    assert_eq!(endpoints.annotations()[OWNER], "us");
    assert_eq!(endpoints.metadata.labels.unwrap()["kept"], "yes");

    lock.release(lease).await;
    assert_eq!(store.record()["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn a_write_over_somebody_elses_is_refused() {
    let store = Arc::new(Store::default());
    let lock = on_endpoints(&store);
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    store.old_renews("old", 15, "2026-01-01T00:00:00Z");
    let error = lock
        .keep(lease, &CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("somebody else holds it"),
        "{error}"
    );
    assert_eq!(store.record()["holderIdentity"], "old");
}

#[tokio::test(start_paused = true)]
async fn the_owners_id_moves_from_the_old_lock_to_the_lease() {
    let store = Arc::new(Store::default());
    let lock = on_endpoints(&store);
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    let lease = lock.set_owner(lease, "us").await.unwrap();
    lock.release(lease).await;
    let lease = beside(&store)
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(crate::lease::owner(&lease).as_deref(), Some("us"));
}

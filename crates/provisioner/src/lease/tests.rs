use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Endpoints, Event, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use tokio::time::Instant;

use super::*;
use crate::cluster::{ApiResult, Changes, ClusterApi, Deletion, Right};
use crate::lease::objects::OnLeases;

/// The paused clock of a test.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        // Not zero at the start, as no real clock is.
        self.0.elapsed() + Duration::from_secs(1000)
    }
}

/// One lease with optimistic locking, and answers to give instead.
#[derive(Default)]
struct Leases {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    refuse: VecDeque<ApiCause>,
    hang: bool,
}

fn refused(cause: ApiCause) -> ApiError {
    ApiError {
        verb: "update",
        object: "lease".to_owned(),
        cause,
        message: String::new(),
    }
}

impl Leases {
    fn lease(&self) -> Lease {
        self.state.lock().unwrap().lease.clone().unwrap()
    }

    fn refuse(&self, causes: &[ApiCause]) {
        self.state.lock().unwrap().refuse.extend(causes);
    }

    /// Writes as somebody else does, whatever the version.
    fn write(&self, edit: impl FnOnce(&mut Lease)) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version.to_string();
        let lease = state.lease.get_or_insert_default();
        edit(lease);
        lease.metadata.resource_version = Some(version);
    }

    async fn store(&self, lease: &Lease, create: bool) -> ApiResult<Lease> {
        if self.state.lock().unwrap().hang {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().unwrap();
        if let Some(cause) = state.refuse.pop_front() {
            return Err(refused(cause));
        }
        match &state.lease {
            Some(_) if create => return Err(refused(ApiCause::AlreadyExists)),
            None if !create => return Err(refused(ApiCause::NotFound)),
            Some(found) if found.metadata.resource_version != lease.metadata.resource_version => {
                return Err(refused(ApiCause::Conflict));
            }
            _ => {}
        }
        state.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(state.version.to_string());
        state.lease = Some(lease.clone());
        Ok(lease)
    }
}

#[async_trait]
impl ClusterApi for Leases {
    async fn get_lease(&self, _namespace: &str, _name: &str) -> ApiResult<Option<Lease>> {
        Ok(self.state.lock().unwrap().lease.clone())
    }
    async fn create_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.store(lease, true).await
    }
    async fn update_lease(&self, lease: &Lease) -> ApiResult<Lease> {
        self.store(lease, false).await
    }
    async fn get_claim(&self, _: &str, _: &str) -> ApiResult<Option<PersistentVolumeClaim>> {
        unreachable!("the lock reads leases only")
    }
    async fn get_volume(&self, _: &str) -> ApiResult<Option<PersistentVolume>> {
        unreachable!("the lock reads leases only")
    }
    async fn create_volume(&self, _: &PersistentVolume) -> ApiResult<PersistentVolume> {
        unreachable!("the lock writes leases only")
    }
    async fn delete_volume(&self, _: &str, _: &str) -> ApiResult<Deletion> {
        unreachable!("the lock writes leases only")
    }
    async fn set_finalizers(&self, _: &str, _: &str, _: &[String]) -> ApiResult<()> {
        unreachable!("the lock writes leases only")
    }
    async fn create_event(&self, _: &Event) -> ApiResult<()> {
        unreachable!("the lock writes leases only")
    }
    async fn raise_event(&self, _: &Event) -> ApiResult<()> {
        unreachable!("the lock writes leases only")
    }
    async fn get_endpoints(&self, _: &str, _: &str) -> ApiResult<Option<Endpoints>> {
        unreachable!("the lock reads leases only")
    }
    async fn create_endpoints(&self, _: &Endpoints) -> ApiResult<Endpoints> {
        unreachable!("the lock writes leases only")
    }
    async fn update_endpoints(&self, _: &Endpoints) -> ApiResult<Endpoints> {
        unreachable!("the lock writes leases only")
    }
    async fn annotate_volume(&self, _: &str, _: &[(&str, &str)]) -> ApiResult<()> {
        unreachable!("the lock writes leases only")
    }
    async fn is_granted(&self, _: &Right, _: &str) -> ApiResult<bool> {
        unreachable!("the lock reads leases only")
    }
    fn watch_claims(&self) -> Changes<PersistentVolumeClaim> {
        unreachable!("the lock reads leases only")
    }
    fn watch_volumes(&self) -> Changes<PersistentVolume> {
        unreachable!("the lock reads leases only")
    }
    fn watch_classes(&self) -> Changes<StorageClass> {
        unreachable!("the lock reads leases only")
    }
}

fn locks(cluster: &Arc<Leases>, identity: &str) -> Arc<Lock> {
    let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
    Arc::new(Lock {
        cluster: Arc::new(OnLeases(cluster.clone())),
        namespace: "ns".to_owned(),
        name: "lock".to_owned(),
        identity: identity.to_owned(),
        times: LeaseTimes::default(),
        clock: clock.clone(),
        fence: Fence::closed(clock),
    })
}

#[tokio::test(start_paused = true)]
async fn a_free_lock_is_taken_at_once_and_opens_the_fence() {
    let cluster = Arc::new(Leases::default());
    let lock = locks(&cluster, "a");
    assert!(lock.fence.check().is_err());
    let start = Instant::now();
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((holder(&lease), transitions(&lease)), (Some("a"), 0));
    lock.fence.check().unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(lock.fence.check().is_err(), "nobody renewed it");
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_taken_when_it_was_seen_unchanged_for_its_duration() {
    let cluster = Arc::new(Leases::default());
    locks(&cluster, "dead")
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    // Its own clock is an hour behind: only what we see counts.
    cluster.write(|lease| {
        let hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
        lease.spec.as_mut().unwrap().renew_time = Some(MicroTime(hour_ago));
    });
    let start = Instant::now();
    let lease = locks(&cluster, "b")
        .acquire(&CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(start.elapsed().as_secs(), 15);
    assert_eq!((holder(&lease), transitions(&lease)), (Some("b"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lock_is_not_taken_and_a_released_one_soon() {
    let cluster = Arc::new(Leases::default());
    let first = locks(&cluster, "a");
    let lease = first.acquire(&CancellationToken::new()).await.unwrap();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn({
        let (first, stop) = (first.clone(), stop.clone());
        async move { first.keep(lease, &stop).await }
    });
    let second = locks(&cluster, "b");
    let waiting = tokio::spawn(async move { second.acquire(&CancellationToken::new()).await });
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(!waiting.is_finished());
    first.fence.check().unwrap();
    stop.cancel();
    let lease = keeping.await.unwrap().unwrap();
    first.release(lease).await;
    assert!(first.fence.check().is_err());
    let start = Instant::now();
    assert_eq!(transitions(&waiting.await.unwrap().unwrap()), 1);
    assert!(start.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_want_a_free_lock_one_gets_it() {
    let cluster = Arc::new(Leases::default());
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    for identity in ["a", "b"] {
        let (lock, stop) = (locks(&cluster, identity), stop.clone());
        tasks.spawn(async move { lock.acquire(&stop).await });
    }
    assert!(tasks.join_next().await.unwrap().unwrap().is_some());
    stop.cancel();
    assert!(tasks.join_next().await.unwrap().unwrap().is_none());
}

async fn kept_until_lost(cluster: &Arc<Leases>, disturb: impl FnOnce()) -> (Duration, Error, bool) {
    let lock = locks(cluster, "a");
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    disturb();
    let start = Instant::now();
    let error = lock
        .keep(lease, &CancellationToken::new())
        .await
        .unwrap_err();
    (start.elapsed(), error, lock.fence.check().is_ok())
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_cannot_be_renewed_is_lost_at_the_deadline() {
    for cause in [
        ApiCause::Unavailable,
        ApiCause::Forbidden,
        ApiCause::Connection,
    ] {
        let cluster = Arc::new(Leases::default());
        let (after, error, open) =
            kept_until_lost(&cluster, || cluster.refuse(&[cause; 100])).await;
        assert_eq!(after.as_secs(), 10);
        assert!(matches!(error, Error::LeaseLost { .. }) && !open);
        assert_eq!(error.exit_code(), 1);
    }
    let cluster = Arc::new(Leases::default());
    let (after, _, open) =
        kept_until_lost(&cluster, || cluster.state.lock().unwrap().hang = true).await;
    assert_eq!(
        after.as_secs(),
        10,
        "a call that hangs does not hold the deadline up"
    );
    assert!(!open);
}

#[tokio::test(start_paused = true)]
async fn a_lock_somebody_else_took_is_lost_at_the_next_renewal() {
    let cluster = Arc::new(Leases::default());
    let steal = || {
        cluster.write(|lease| {
            lease.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
        });
    };
    let (after, _, open) = kept_until_lost(&cluster, steal).await;
    assert_eq!(after.as_secs(), 2);
    assert!(!open);
    assert_eq!(
        holder(&cluster.lease()),
        Some("thief"),
        "it is not taken back"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_shorter_than_the_deadline_an_edit_and_a_deletion_are_survived() {
    let cluster = Arc::new(Leases::default());
    let lock = locks(&cluster, "a");
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    let lease = lock.set_owner(lease, "owner").await.unwrap();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn({
        let (lock, stop) = (lock.clone(), stop.clone());
        async move { lock.keep(lease, &stop).await }
    });
    cluster.refuse(&[ApiCause::Unavailable; 3]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    cluster.write(|lease| {
        lease
            .labels_mut()
            .insert("edited".to_owned(), "yes".to_owned());
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    cluster.state.lock().unwrap().lease = None;
    tokio::time::sleep(Duration::from_secs(20)).await;
    lock.fence.check().unwrap();
    stop.cancel();
    let lease = keeping.await.unwrap().unwrap();
    assert_eq!(
        (holder(&lease), owner(&lease).as_deref()),
        (Some("a"), Some("owner"))
    );
}

#[tokio::test(start_paused = true)]
async fn others_are_never_told_less_than_the_duration() {
    let cluster = Arc::new(Leases::default());
    let lock = Lock {
        times: LeaseTimes {
            duration: Duration::from_millis(1900),
            renew_deadline: Duration::from_millis(1500),
            retry: Duration::from_millis(100),
        },
        ..Arc::try_unwrap(locks(&cluster, "a")).ok().unwrap()
    };
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_duration_seconds, Some(2));
}

#[tokio::test(start_paused = true)]
async fn one_call_that_hangs_does_not_cost_the_lock() {
    let cluster = Arc::new(Leases::default());
    let lock = locks(&cluster, "a");
    let lease = lock.acquire(&CancellationToken::new()).await.unwrap();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn({
        let (lock, stop) = (lock.clone(), stop.clone());
        async move { lock.keep(lease, &stop).await }
    });
    cluster.state.lock().unwrap().hang = true;
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.state.lock().unwrap().hang = false;
    tokio::time::sleep(Duration::from_secs(30)).await;
    lock.fence.check().unwrap();
    stop.cancel();
    keeping.await.unwrap().unwrap();
}

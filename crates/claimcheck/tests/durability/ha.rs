//! Two replicas under one lock, as real processes: the leader is killed, asked to stop, or frozen
//! and resumed after it lost its lock. What a replica asked of the API and of the export is read
//! from proxies of its own.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::Api;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, NAMESPACE};
use crate::disk;
use crate::replica::{DURATION, Hall, RETRY, Replica};
use crate::wait::{PATIENCE, soon, until};

/// What a busy machine may add to any of the lock's times.
const SLACK: Duration = Duration::from_secs(3);
/// Claims under way while a leader is asked to stop.
const BURST: usize = 30;

/// The lock of a hall.
struct Lock<'a> {
    hall: &'a Hall,
    leases: Api<Lease>,
}

impl<'a> Lock<'a> {
    fn of(bed: &Bed, hall: &'a Hall) -> Self {
        Self {
            hall,
            leases: Api::namespaced(bed.client.clone(), NAMESPACE),
        }
    }

    async fn read(&self) -> Option<(String, LeaseSpec)> {
        let name = self.hall.objects.provisioner.replace('/', "-");
        let lease = self.leases.get_opt(&name).await.unwrap()?;
        Some((lease.metadata.resource_version?, lease.spec?))
    }

    /// Waits until a replica holds it; the lock as it is then.
    async fn held_by(&self, replica: &Replica) -> Result<LeaseSpec, String> {
        let identity = replica.identity().await?;
        until(PATIENCE, "a new holder of the lock", async || {
            match self.read().await {
                Some((_, spec)) if spec.holder_identity.as_deref() == Some(&identity) => Ok(spec),
                other => Err(format!("{identity} waits, the lock is {other:?}")),
            }
        })
        .await
    }
}

fn acquired(spec: &LeaseSpec) -> Timestamp {
    spec.acquire_time.as_ref().unwrap().0
}

fn renewed(spec: &LeaseSpec) -> Timestamp {
    spec.renew_time.as_ref().unwrap().0
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap()
}

/// A leader and a standby that waits for it.
async fn pair(bed: &Bed, hall: &Hall, lock: &Lock<'_>) -> Result<(Replica, Replica), String> {
    let first = Replica::start(bed, hall, "first").await;
    lock.held_by(&first).await?;
    let second = Replica::start(bed, hall, "second").await;
    second.says("waiting for the lock").await?;
    for (replica, leader) in [
        (&first, "claimcheck_leader 1"),
        (&second, "claimcheck_leader 0"),
    ] {
        replica
            .shows("/readyz", "[+]caches ok\n[+]rights ok\n[+]export ok\n")
            .await?;
        replica.shows("/metrics", leader).await?;
        replica.shows("/healthz/leader-election", "ok").await?;
    }
    Ok((first, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_followed_once_its_lease_is_over() {
    let bed = Bed::up("ha-kill").await;
    let hall = Hall::new(&bed, "kill").await;
    let lock = Lock::of(&bed, &hall);
    let result: Result<(), String> = async {
        let (first, second) = pair(&bed, &hall, &lock).await?;
        hall.objects.claim("before", "delete").await;
        let volume = hall.objects.until_bound("before").await?;
        let line = first.says("provisioned").await?;
        for key in ["claim", "uid", "pv", "class", "dir"] {
            assert!(line[key].is_string(), "no `{key}` in {line}");
        }
        first.signal(Signal::SIGKILL);
        first.ended().await?;
        // Nobody serves it until the lock changes hands.
        hall.objects.claim("between", "delete").await;
        let last = lock.read().await.unwrap().1;
        let taken = lock.held_by(&second).await?;
        let waited = acquired(&taken).duration_since(renewed(&last));
        assert!(waited >= signed(DURATION), "it was taken after {waited}");
        let most = DURATION + RETRY * 2 + SLACK;
        assert!(waited <= signed(most), "it was taken after {waited}");
        let changes = |spec: &LeaseSpec| spec.lease_transitions.unwrap_or_default();
        assert_eq!(changes(&taken), changes(&last) + 1);
        hall.objects.until_bound("between").await?;
        hall.objects.unclaim("before").await?;
        hall.gone(&volume).await?;
        second.stop().await
    }
    .await;
    bed.down().await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_asked_to_stop_hands_over_at_once() {
    let bed = Bed::up("ha-stop").await;
    let hall = Hall::new(&bed, "stop").await;
    let lock = Lock::of(&bed, &hall);
    let result: Result<(), String> = async {
        let (first, second) = pair(&bed, &hall, &lock).await?;
        let names: Vec<String> = (0..BURST).map(|number| format!("claim-{number}")).collect();
        let uids =
            futures::future::join_all(names.iter().map(|name| hall.objects.claim(name, "delete")))
                .await;
        // In the middle of it.
        hall.objects.until_bound(&names[0]).await?;
        first.stop().await?;
        let released = first.last_write_of_the_lock()?;
        let taken = lock.held_by(&second).await?;
        let waited = acquired(&taken).duration_since(released);
        let most = RETRY + SLACK;
        assert!(most < DURATION);
        assert!(waited <= signed(most), "it was taken after {waited}");
        try_join_all(names.iter().map(|name| hall.objects.until_bound(name))).await?;
        for uid in &uids {
            assert_eq!(hall.objects.volumes_of(uid).await?.len(), 1);
        }
        assert_eq!(
            hall.directories(),
            BURST,
            "{:#?}",
            disk::tree(&hall.directory)
        );
        second.stop().await
    }
    .await;
    bed.down().await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_does_nothing_after_it_lost_its_lock() {
    let bed = Bed::up("ha-freeze").await;
    let hall = Hall::new(&bed, "freeze").await;
    let lock = Lock::of(&bed, &hall);
    let result: Result<(), String> = async {
        let (first, second) = pair(&bed, &hall, &lock).await?;
        for name in ["early", "late"] {
            hall.objects.claim(name, "delete").await;
        }
        let early = hall.objects.until_bound("early").await?;
        let late = hall.objects.until_bound("late").await?;
        // It is told of this one, again and again: something to do for whoever wakes up.
        hall.objects.claim("refused", "nonsense").await;
        hall.objects
            .until_event("refused", "ProvisioningFailed")
            .await?;
        let told = first
            .lines()
            .into_iter()
            .find(|line| line["cause"] == "refused");
        let told = told.unwrap_or_default();
        for (key, value) in [
            ("claim", json!("freeze/refused")),
            ("class", json!("freeze-nonsense")),
            ("step", json!("decide")),
            ("attempt", json!(1)),
        ] {
            assert_eq!(told[key], value, "`{key}` of {told}");
        }

        first.signal(Signal::SIGSTOP);
        lock.held_by(&second).await?;
        hall.objects.unclaim("early").await?;
        hall.gone(&early).await?;
        hall.objects.claim("while-frozen", "delete").await;
        hall.objects.until_bound("while-frozen").await?;

        // Now nobody holds the lock, and there is work that only the frozen one could do.
        second.signal(Signal::SIGKILL);
        second.ended().await?;
        let uid = hall.objects.claim("tempting", "delete").await;
        hall.objects.unclaim("late").await?;
        hall.released(&late).await?;

        let before = (lock.read().await, disk::tree(&hall.directory));
        let marks = first.marks();
        first.signal(Signal::SIGCONT);
        let status = first.ended().await?;
        assert_eq!(status.code(), Some(1), "{}", first.log());
        let words = first.lines().into_iter().filter_map(|line| {
            let text = line.get("category").and_then(Value::as_str)?;
            Some(text.to_owned())
        });
        assert_eq!(words.collect::<Vec<_>>(), ["lease-lost"], "{}", first.log());
        assert_eq!(first.writes_since(marks), Vec::<String>::new());
        assert_eq!((lock.read().await, disk::tree(&hall.directory)), before);
        assert_eq!(hall.objects.volumes_of(&uid).await?.len(), 0);
        hall.released(&late).await?;

        // The work was there to be done.
        let third = Replica::start(&bed, &hall, "third").await;
        lock.held_by(&third).await?;
        hall.objects.until_bound("tempting").await?;
        hall.gone(&late).await?;
        third.stop().await
    }
    .await;
    bed.down().await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_frozen_within_a_call_goes_no_further() {
    let bed = Bed::up("ha-within").await;
    let hall = Hall::new(&bed, "within").await;
    let lock = Lock::of(&bed, &hall);
    let result: Result<(), String> = async {
        let (first, second) = pair(&bed, &hall, &lock).await?;
        // A record is written to a temporary file and then renamed: it is frozen in between.
        let arrest =
            first.arrest(|call| call.procedure == "WRITE" && call.path.contains("/records/"));
        hall.objects.claim("data", "delete").await;
        soon("a record being written", arrest.reached()).await?;
        first.signal(Signal::SIGSTOP);
        lock.held_by(&second).await?;
        let volume = hall.objects.until_bound("data").await?;
        until(PATIENCE, "the record of the stored volume", async || {
            let tree = disk::tree(&hall.directory);
            let record = tree
                .iter()
                .find(|(path, _)| path.ends_with(&format!("/records/{volume}")))
                .and_then(|(_, (_, bytes))| bytes.clone())
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&record).into_owned();
            if text.contains("\"saved\"") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await?;

        let before = disk::tree(&hall.directory);
        let marks = first.marks();
        // The answer it waits for is there when it wakes up.
        arrest.go_on();
        first.signal(Signal::SIGCONT);
        let status = first.ended().await?;
        assert_eq!(status.code(), Some(1), "{}", first.log());
        assert_eq!(first.writes_since(marks), Vec::<String>::new());
        assert_eq!(disk::tree(&hall.directory), before);
        hall.objects.unclaim("data").await?;
        hall.gone(&volume).await?;
        second.stop().await
    }
    .await;
    bed.down().await;
    result.unwrap();
}

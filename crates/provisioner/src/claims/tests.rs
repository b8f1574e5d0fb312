//! A class that comes while a claim is being looked at, and claims that nobody asks for yet.

use std::sync::{OnceLock, Weak};

use futures::FutureExt;
use http::{Request, Response};
use kube::client::Body;
use rstest::rstest;
use serde_json::json;
use tower_test::mock;

use super::*;
use crate::clock::BootClock;
use crate::cluster::Kubernetes;
use crate::config::Target;
use crate::events;

/// At which decision about the claim the other watch shows the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Is it ours? Nothing is known of the claim yet, nor of its class.
    IsItOurs,
    /// What is to be done? Its class was looked up a moment ago.
    WhatToDo,
}

/// Sound decisions, during one of which the class comes.
struct ClassComes {
    at: Moment,
    classes: Arc<Classes>,
    claims: OnceLock<Weak<Claims>>,
}

impl ClassComes {
    /// What the watch of classes does with one that is new; once.
    fn reach(&self, moment: Moment) {
        if self.at == moment && self.classes.set(class()) {
            let claims = self.claims.get().and_then(Weak::upgrade).unwrap();
            claims.class_changed("c");
        }
    }
}

impl Rules for ClassComes {
    fn is_our_claim(
        &self,
        target: &Target,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> bool {
        self.reach(Moment::IsItOurs);
        decide::is_our_claim(target, claim, class)
    }

    fn claim_decision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> ClaimDecision {
        self.reach(Moment::WhatToDo);
        decide::claim_decision(claim, class)
    }
}

fn class() -> StorageClass {
    serde_json::from_value(json!({ "metadata": { "name": "c" }, "provisioner": "a.b/c" })).unwrap()
}

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "ns", "name": "a", "uid": "1",
            "annotations": { "volume.kubernetes.io/storage-provisioner": "a.b/c" },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": "c",
        },
    }))
    .unwrap()
}

/// A claim controller that asks a cluster nobody answers for: looking at a claim asks nothing.
fn controller(classes: &Arc<Classes>, rules: Arc<dyn Rules>) -> Arc<Claims> {
    let (service, _) = mock::pair::<Request<Body>, Response<Body>>();
    let client = kube::Client::new(service, "default");
    let cluster = Arc::new(Kubernetes::new(client, Duration::from_secs(10)));
    let fence = Fence::open(Arc::new(BootClock));
    let metrics = Arc::new(Metrics::new("memory"));
    let (recorder, _) = events::channel(
        cluster.clone(),
        "test".to_owned(),
        fence.clone(),
        metrics.clone(),
    );
    let parts = Parts {
        config: Arc::new(crate::cli::example_config()),
        cluster,
        rules,
        index: Arc::new(Index::default()),
        recorder,
        fence,
        metrics,
    };
    let volumes = Arc::new(Volumes::new(parts.clone(), classes.clone()));
    Arc::new(Claims::new(parts, classes.clone(), volumes))
}

/// Two watches show them, each in a task of its own: the class finds the claim in view, or the
/// claim finds the class. Were it neither, nobody would ever look at the claim again.
#[rstest]
#[case(Moment::IsItOurs)]
#[case(Moment::WhatToDo)]
#[tokio::test]
async fn a_class_that_comes_while_its_claim_is_looked_at_is_not_missed(#[case] at: Moment) {
    let classes = Arc::new(Classes::default());
    let rules = Arc::new(ClassComes {
        at,
        classes: classes.clone(),
        claims: OnceLock::new(),
    });
    let claims = controller(&classes, rules.clone());
    rules.claims.set(Arc::downgrade(&claims)).unwrap();
    claims.observe(Change::There(claim()));
    assert!(classes.get("c").is_some(), "it came");
    assert_eq!(
        claims.queue.next().now_or_never().as_deref(),
        Some("1"),
        "the claim is to be worked on"
    );
}

/// The control: without its class a claim waits.
#[tokio::test]
async fn a_claim_without_its_class_is_not_worked_on() {
    let classes = Arc::new(Classes::default());
    let claims = controller(&classes, Arc::new(crate::rules::SoundRules));
    claims.observe(Change::There(claim()));
    assert_eq!(claims.queue.next().now_or_never(), None);
}

/// A claim that the controller-manager has not come to.
fn unasked() -> PersistentVolumeClaim {
    let mut unasked = claim();
    unasked.metadata.annotations = None;
    unasked
}

/// Whatever becomes of a claim that nobody asks for yet, it is not waited for any longer.
#[rstest]
#[case::asked_for(|| Change::There(claim()))]
#[case::gone(|| Change::Gone(unasked()))]
#[case::gone_unseen(|| Change::Listed(HashSet::new()))]
#[case::bound(|| {
    let mut bound = unasked();
    bound.spec.get_or_insert_default().volume_name = Some("pv".to_owned());
    Change::There(bound)
})]
#[tokio::test]
async fn a_claim_waits_to_be_asked_for_until_it_changes(
    #[case] change: fn() -> Change<PersistentVolumeClaim>,
) {
    let classes = Arc::new(Classes::default());
    classes.set(class());
    let claims = controller(&classes, Arc::new(crate::rules::SoundRules));
    claims.observe(Change::There(unasked()));
    claims.observe(Change::There(unasked()));
    assert_eq!(claims.reach.waiting(), 1);
    assert_eq!(claims.queue.next().now_or_never(), None);
    claims.observe(change());
    assert_eq!(claims.reach.waiting(), 0);
}

/// What would be refused is left to the controller-manager to ask for.
#[tokio::test]
async fn only_claims_that_can_be_served_wait_to_be_asked_for() {
    let classes = Arc::new(Classes::default());
    classes.set(class());
    let claims = controller(&classes, Arc::new(crate::rules::SoundRules));
    let mut block = unasked();
    block.spec.get_or_insert_default().volume_mode = Some("Block".to_owned());
    claims.observe(Change::There(block));
    assert_eq!(claims.reach.waiting(), 0);
}

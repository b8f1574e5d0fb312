//! The rights the provisioner wants, asked for once at start, and what happens without each.
//!
//! nfs-subdir's role is enough for the whole job; without one of the rights every claim needs, the
//! process ends with a sentence instead of failing at each claim.

use std::time::Duration;

use futures::StreamExt;

use crate::backoff;
use crate::cluster::{ApiCause, ClusterApi, Right};
use crate::error::Error;
use crate::events::EventRights;

/// What a right is for, and whether nothing works without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The right.
    pub right: Right,
    /// What it is for.
    pub purpose: &'static str,
    /// What its absence means.
    pub without: Without,
}

/// What the absence of a right means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// The process ends.
    Fail,
    /// The process ends if a lock is to be taken.
    FailWithElection,
    /// It goes on, with this consequence.
    Degrade(&'static str),
}

const fn rule(
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    purpose: &'static str,
    without: Without,
) -> Rule {
    let in_lock_namespace = matches!(without, Without::FailWithElection);
    Rule {
        right: Right {
            group,
            resource,
            verb,
            in_lock_namespace,
        },
        purpose,
        without,
    }
}

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";
const CLASSES: &str = "storageclasses";
const STORAGE: &str = "storage.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const NO_FINALIZER: &str =
    "volumes get no finalizer; one deleted before its claim is settled from its record";

/// Every right, in the order they are reported in.
pub const RULES: [Rule; 17] = [
    rule(
        "",
        CLAIMS,
        "get",
        "to read a claim again before acting on it",
        Without::Fail,
    ),
    rule("", CLAIMS, "list", "to see claims", Without::Fail),
    rule("", CLAIMS, "watch", "to see claims", Without::Fail),
    rule(STORAGE, CLASSES, "get", "to read classes", Without::Fail),
    rule(STORAGE, CLASSES, "list", "to read classes", Without::Fail),
    rule(STORAGE, CLASSES, "watch", "to read classes", Without::Fail),
    rule(
        "",
        VOLUMES,
        "get",
        "to read a volume again before acting on it",
        Without::Fail,
    ),
    rule("", VOLUMES, "list", "to see volumes", Without::Fail),
    rule("", VOLUMES, "watch", "to see volumes", Without::Fail),
    rule("", VOLUMES, "create", "to provision claims", Without::Fail),
    rule("", VOLUMES, "delete", "to reclaim volumes", Without::Fail),
    rule(
        COORDINATION,
        "leases",
        "get",
        "to take the lock",
        Without::FailWithElection,
    ),
    rule(
        COORDINATION,
        "leases",
        "create",
        "to take the lock",
        Without::FailWithElection,
    ),
    rule(
        COORDINATION,
        "leases",
        "update",
        "to keep the lock",
        Without::FailWithElection,
    ),
    rule(
        "",
        VOLUMES,
        "patch",
        "to take the finalizer off volumes",
        Without::Degrade(NO_FINALIZER),
    ),
    rule(
        "",
        "events",
        "create",
        "to tell what happens",
        Without::Degrade("causes are in the logs only"),
    ),
    rule(
        "",
        "events",
        "patch",
        "to count events",
        Without::Degrade("a repeated event is stored anew"),
    ),
];

/// The longest wait between two attempts at one review.
const WAIT_MAX: Duration = Duration::from_secs(15);
/// How many reviews are under way at once.
const CONCURRENT: usize = 6;

/// What the provisioner may do beyond what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The finalizer can be taken off volumes, so it may be put on.
    pub finalizer: bool,
    /// Events.
    pub events: EventRights,
}

/// Reviews every rule. Where the review itself is refused, the right is taken as granted: a 403
/// later gives the same text and is retried. An API that does not answer is asked again: a
/// finalizer that cannot be taken off would keep volumes for ever.
///
/// # Errors
/// [`Error::Access`] with every right that is missing and needed.
pub async fn review(
    cluster: &dyn ClusterApi,
    namespace: &str,
    election: bool,
) -> Result<Access, Error> {
    let granted: Vec<bool> = futures::stream::iter(RULES)
        .map(|rule| async move { is_granted(cluster, &rule, namespace).await })
        .buffered(CONCURRENT)
        .collect()
        .await;
    judge(&granted, election)
}

async fn is_granted(cluster: &dyn ClusterApi, rule: &Rule, namespace: &str) -> bool {
    let mut failures = 0;
    loop {
        let error = match cluster.is_granted(&rule.right, namespace).await {
            Ok(granted) => return granted,
            Err(error) => error,
        };
        match error.cause {
            ApiCause::Forbidden => return true,
            ApiCause::Unavailable | ApiCause::TimedOut | ApiCause::Connection => {
                failures += 1;
                let delay = backoff::delay(failures, backoff::jitter()).min(WAIT_MAX);
                tracing::warn!(cause = error.cause.category(), ?delay, "failed to {error}");
                tokio::time::sleep(delay).await;
            }
            _ => {
                tracing::warn!(
                    cause = error.cause.category(),
                    "failed to {error}; taken as granted"
                );
                return true;
            }
        }
    }
}

fn judge(granted: &[bool], election: bool) -> Result<Access, Error> {
    let missing: Vec<&Rule> = RULES
        .iter()
        .zip(granted)
        .filter(|(_, granted)| !**granted)
        .map(|(rule, _)| rule)
        .collect();
    let mut fatal = Vec::new();
    for rule in &missing {
        match rule.without {
            Without::Fail => fatal.push(format!("{}, {}", rule.right, rule.purpose)),
            Without::FailWithElection if election => {
                fatal.push(format!("{}, {}", rule.right, rule.purpose));
            }
            Without::FailWithElection => {}
            Without::Degrade(consequence) => {
                tracing::warn!(right = %rule.right, purpose = rule.purpose, "a right is missing: {consequence}");
            }
        }
    }
    if !fatal.is_empty() {
        return Err(Error::Access(fatal));
    }
    let has = |resource: &str, verb: &str| {
        !missing
            .iter()
            .any(|rule| rule.right.resource == resource && rule.right.verb == verb)
    };
    Ok(Access {
        finalizer: has(VOLUMES, "patch"),
        events: EventRights {
            create: has("events", "create"),
            patch: has("events", "patch"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(resource: &str, verb: &str) -> Vec<bool> {
        RULES
            .iter()
            .map(|rule| !(rule.right.resource == resource && rule.right.verb == verb))
            .collect()
    }

    #[test]
    fn a_right_every_claim_needs_ends_the_process_with_its_name() {
        let error = judge(&without("persistentvolumes", "create"), true)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "serve claims without these rights: create persistentvolumes (core) in the whole cluster, to provision claims"
        );
    }

    #[test]
    fn leases_are_needed_for_an_election_only() {
        assert!(judge(&without("leases", "update"), true).is_err());
        assert!(judge(&without("leases", "update"), false).is_ok());
    }

    #[test]
    fn without_patch_on_volumes_there_is_no_finalizer() {
        assert!(judge(&without("x", "x"), true).unwrap().finalizer);
        assert!(
            !judge(&without("persistentvolumes", "patch"), true)
                .unwrap()
                .finalizer
        );
        assert!(
            !judge(&without("events", "patch"), true)
                .unwrap()
                .events
                .patch
        );
    }
}

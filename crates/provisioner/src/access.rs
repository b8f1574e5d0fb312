//! The rights the provisioner wants, asked for once at start, and what happens without each.
//!
//! nfs-subdir's role is enough for the whole job; without one of the rights every claim needs, the
//! process ends with a sentence instead of failing at each claim. Where Leases are not granted the
//! lock is kept where that role lets it be: on Endpoints.

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
    /// The lock is kept on Endpoints if those are granted; else the process ends if a lock is to be
    /// taken.
    OldLock,
    /// Nothing by itself: it is used where Leases are not granted, and to see an older provisioner.
    Nothing,
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
    let in_lock_namespace = matches!(without, Without::OldLock | Without::Nothing);
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
const LEASES: &str = "leases";
const ENDPOINTS: &str = "endpoints";
const ON_ENDPOINTS: &str = "the lock is kept on Endpoints, as the older provisioner does";
const NO_FINALIZER: &str =
    "volumes get no finalizer; one deleted before its claim is settled from its record";

/// Every right, in the order they are reported in.
pub const RULES: [Rule; 20] = [
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
        LEASES,
        "get",
        "to take the lock",
        Without::OldLock,
    ),
    rule(
        COORDINATION,
        LEASES,
        "create",
        "to take the lock",
        Without::OldLock,
    ),
    rule(
        COORDINATION,
        LEASES,
        "update",
        "to keep the lock",
        Without::OldLock,
    ),
    rule(
        "",
        ENDPOINTS,
        "get",
        "to see the lock of an older provisioner",
        Without::Nothing,
    ),
    rule(
        "",
        ENDPOINTS,
        "create",
        "to take the old lock",
        Without::Nothing,
    ),
    rule(
        "",
        ENDPOINTS,
        "update",
        "to keep the old lock",
        Without::Nothing,
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

/// Where the lock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// On a Lease.
    Lease,
    /// On a Lease, and a live record in the old lock on Endpoints holds it back.
    LeaseBesideEndpoints,
    /// On Endpoints: Leases are not granted.
    Endpoints,
}

/// What the provisioner may do beyond what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The finalizer can be taken off volumes, so it may be put on.
    pub finalizer: bool,
    /// Events.
    pub events: EventRights,
    /// Where the lock is kept.
    pub lock: LockKind,
    /// The rules that are missing and wanted, as `verb resource`.
    pub missing: Vec<String>,
}

/// One rule with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The rule.
    pub rule: Rule,
    /// Whether the right is granted.
    pub granted: bool,
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
    judge(&reviews(cluster, namespace).await, election)
}

/// Asks for every rule, without a judgement.
pub async fn reviews(cluster: &dyn ClusterApi, namespace: &str) -> Vec<Reviewed> {
    futures::stream::iter(RULES)
        .map(|rule| async move {
            Reviewed {
                rule,
                granted: is_granted(cluster, &rule, namespace).await,
            }
        })
        .buffered(CONCURRENT)
        .collect()
        .await
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

/// What the missing rules mean, by severity.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Rules without which nothing works, as sentences.
    pub(crate) fatal: Vec<String>,
    /// Rules without which it works less well, each with the consequence.
    pub(crate) degraded: Vec<(Rule, &'static str)>,
}

/// Sorts the missing rules.
pub(crate) fn verdict(reviewed: &[Reviewed], election: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let on_endpoints = has_all(reviewed, ENDPOINTS);
    for Reviewed { rule, .. } in reviewed.iter().filter(|reviewed| !reviewed.granted) {
        match rule.without {
            Without::Fail => verdict.fatal.push(sentence(rule)),
            Without::OldLock if on_endpoints => verdict.degraded.push((*rule, ON_ENDPOINTS)),
            Without::OldLock if election => verdict.fatal.push(sentence(rule)),
            Without::OldLock | Without::Nothing => {}
            Without::Degrade(consequence) => verdict.degraded.push((*rule, consequence)),
        }
    }
    verdict
}

fn sentence(rule: &Rule) -> String {
    format!("{}, {}", rule.right, rule.purpose)
}

fn has_all(reviewed: &[Reviewed], resource: &str) -> bool {
    reviewed
        .iter()
        .filter(|reviewed| reviewed.rule.right.resource == resource)
        .all(|reviewed| reviewed.granted)
}

fn judge(reviewed: &[Reviewed], election: bool) -> Result<Access, Error> {
    let Verdict { fatal, degraded } = verdict(reviewed, election);
    for (rule, consequence) in &degraded {
        tracing::warn!(right = %rule.right, purpose = rule.purpose, "a right is missing: {consequence}");
    }
    if !fatal.is_empty() {
        return Err(Error::Access(fatal));
    }
    let has = |resource: &str, verb: &str| {
        reviewed.iter().any(|Reviewed { rule, granted }| {
            rule.right.resource == resource && rule.right.verb == verb && *granted
        })
    };
    Ok(Access {
        finalizer: has(VOLUMES, "patch"),
        events: EventRights {
            create: has("events", "create"),
            patch: has("events", "patch"),
        },
        lock: lock_kind(reviewed),
        missing: degraded
            .iter()
            .map(|(rule, _)| format!("{} {}", rule.right.verb, rule.right.resource))
            .collect(),
    })
}

/// Where the lock is kept with these rights.
pub(crate) fn lock_kind(reviewed: &[Reviewed]) -> LockKind {
    let sees_old = reviewed.iter().any(|Reviewed { rule, granted }| {
        rule.right.resource == ENDPOINTS && rule.right.verb == "get" && *granted
    });
    match (
        has_all(reviewed, LEASES),
        sees_old,
        has_all(reviewed, ENDPOINTS),
    ) {
        (true, true, _) => LockKind::LeaseBesideEndpoints,
        (false, _, true) => LockKind::Endpoints,
        (true, false, _) | (false, _, false) => LockKind::Lease,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Every right but these, given as `verb resource`; `*` is every verb.
    fn without(missing: &[&str]) -> Vec<Reviewed> {
        RULES
            .iter()
            .map(|rule| {
                let (verb, resource) = (rule.right.verb, rule.right.resource);
                let is_missing = missing.iter().any(|text| {
                    **text == format!("{verb} {resource}") || **text == format!("* {resource}")
                });
                Reviewed {
                    rule: *rule,
                    granted: !is_missing,
                }
            })
            .collect()
    }

    #[test]
    fn a_right_every_claim_needs_ends_the_process_with_its_name() {
        let error = judge(&without(&["create persistentvolumes"]), true)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "serve claims without these rights: create persistentvolumes (core) in the whole cluster, to provision claims"
        );
    }

    #[rstest]
    #[case(&[], LockKind::LeaseBesideEndpoints)]
    #[case(&["* endpoints"], LockKind::Lease)]
    #[case(&["create endpoints"], LockKind::LeaseBesideEndpoints)]
    #[case(&["* leases"], LockKind::Endpoints)]
    #[case(&["update leases"], LockKind::Endpoints)]
    fn the_lock_is_kept_where_it_is_granted(#[case] missing: &[&str], #[case] lock: LockKind) {
        assert_eq!(judge(&without(missing), true).unwrap().lock, lock);
    }

    #[rstest]
    #[case(&["* leases", "* endpoints"])]
    #[case(&["update leases", "create endpoints"])]
    fn without_any_lock_only_a_provisioner_without_election_runs(#[case] missing: &[&str]) {
        let error = judge(&without(missing), true).unwrap_err().to_string();
        assert!(
            error.contains("update leases (coordination.k8s.io) in the namespace of the lock"),
            "{error}"
        );
        assert!(judge(&without(missing), false).is_ok());
    }

    #[test]
    fn what_is_done_without_is_listed() {
        let access = judge(
            &without(&["patch persistentvolumes", "patch events", "get leases"]),
            true,
        )
        .unwrap();
        assert!(!access.finalizer && access.events.create && !access.events.patch);
        assert_eq!(
            access.missing,
            ["get leases", "patch persistentvolumes", "patch events"]
        );
        assert_eq!(
            judge(&without(&[]), true).unwrap().missing,
            Vec::<String>::new()
        );
    }
}

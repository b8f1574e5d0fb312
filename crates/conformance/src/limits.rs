//! How long the suite waits for what: each limit has a name, a value and a reason.
//!
//! A limit is a tolerance, not a norm: Kubernetes states no time for any of these. It is long
//! enough that a sound subject on a slow machine never meets it. A subject file may set another.

use std::collections::BTreeMap;
use std::time::Duration;

/// A named limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// From a claim's creation, or what it waits for, to phase Bound.
    ClaimBound,
    /// From a claim's deletion to the end of its volume object and directory.
    VolumeReclaimed,
    /// Until an expected event is written.
    Event,
    /// Until the control plane has done its own part: phases, pods, protection finalizers.
    ControlPlane,
    /// From a pod's creation to its readiness, and from its deletion to its end, on real nodes: with
    /// its image, sandbox and mounts.
    Pod,
    /// The controller-manager's periodic sync assigns a default class made later (KEP-3333).
    RetroactiveDefault,
    /// From a pod's readiness to its DNS record.
    DnsRecord,
    /// From the start of the subject to its readiness.
    SubjectReady,
    /// One case, without its clean-up, whose waits have limits of their own: a last resort against a
    /// hang of ours.
    WholeCase,
}

impl Limit {
    /// Every limit: name, default, reason.
    pub const ALL: &'static [(Self, &'static str, Duration, &'static str)] = &[
        (
            Self::ClaimBound,
            "claim-bound",
            Duration::from_secs(30),
            "tolerance; a stale leader lock (15 s) and one back-off fit in",
        ),
        (
            Self::VolumeReclaimed,
            "volume-reclaimed",
            Duration::from_secs(30),
            "tolerance; as claim-bound",
        ),
        (
            Self::Event,
            "event",
            Duration::from_secs(15),
            "tolerance; events may be queued",
        ),
        (
            Self::ControlPlane,
            "control-plane",
            Duration::from_secs(45),
            "tolerance for parts that are not the subject",
        ),
        (
            Self::Pod,
            "pod",
            Duration::from_mins(1),
            "tolerance; a loaded machine starts a real pod in some seconds, after its volume's limit",
        ),
        (
            Self::RetroactiveDefault,
            "retroactive-default",
            Duration::from_secs(40),
            "the periodic sync is 15 s by default (k8s.io/kubernetes pv-controller)",
        ),
        (
            Self::DnsRecord,
            "dns-record",
            Duration::from_secs(15),
            "tolerance; includes the record's TTL",
        ),
        (
            Self::SubjectReady,
            "subject-ready",
            Duration::from_mins(1),
            "tolerance; a stale leader lock (15 s) fits in",
        ),
        (
            Self::WholeCase,
            "whole-case",
            Duration::from_mins(4),
            "last resort",
        ),
    ];

    /// The limit's name in subject files and reports.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    fn entry(self) -> &'static (Self, &'static str, Duration, &'static str) {
        Self::ALL
            .iter()
            .find(|entry| entry.0 == self)
            .expect("every limit stands in ALL")
    }
}

/// The limits of one run: the defaults, and what the subject file changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    overrides: BTreeMap<Limit, Duration>,
}

impl Limits {
    /// Limits with these changes, by name.
    ///
    /// # Errors
    /// The name that is no limit, with those that are.
    pub fn with(
        changes: impl IntoIterator<Item = (String, Duration)>,
    ) -> Result<Self, UnknownLimit> {
        let mut overrides = BTreeMap::new();
        for (name, value) in changes {
            match Limit::ALL.iter().find(|entry| entry.1 == name) {
                Some(entry) => overrides.insert(entry.0, value),
                None => return Err(UnknownLimit { name }),
            };
        }
        Ok(Self { overrides })
    }

    /// How long to wait.
    pub fn of(&self, limit: Limit) -> Duration {
        self.overrides
            .get(&limit)
            .copied()
            .unwrap_or(limit.entry().2)
    }
}

/// A limit that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown limit `{name}`; there are {}",
    Limit::ALL.iter().map(|entry| entry.1).collect::<Vec<_>>().join(", "))]
pub struct UnknownLimit {
    /// The name given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_file_changes_one_limit_and_leaves_the_others() {
        let limits = Limits::with([("claim-bound".to_owned(), Duration::from_secs(90))]).unwrap();
        assert_eq!(limits.of(Limit::ClaimBound), Duration::from_secs(90));
        assert_eq!(limits.of(Limit::Event), Duration::from_secs(15));
    }

    #[test]
    fn an_unknown_limit_is_named() {
        let error = Limits::with([("claim-bond".to_owned(), Duration::ZERO)]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("unknown limit `claim-bond`; there are claim-bound")
        );
    }

    #[test]
    fn every_limit_has_a_name_of_its_own_a_value_and_a_reason() {
        let mut names = std::collections::BTreeSet::new();
        for (limit, name, value, reason) in Limit::ALL {
            assert!(names.insert(*name), "{name} stands twice");
            assert!(
                name.chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter == '-'),
                "{name}"
            );
            assert_eq!(limit.name(), *name);
            assert!(*value > Duration::ZERO, "{name}");
            assert!(!reason.is_empty(), "{name} has no reason");
        }
    }

    #[test]
    fn a_case_that_waits_for_one_thing_in_vain_ends_before_the_last_resort() {
        let limits = Limits::default();
        for (limit, name, value, _) in Limit::ALL {
            // What holds a claim up holds up its control, its pod and its volume's end as well.
            let last = *limit == Limit::WholeCase;
            assert!(last || *value * 4 <= limits.of(Limit::WholeCase), "{name}");
        }
    }
}

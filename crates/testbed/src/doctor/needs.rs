//! What a diagnosis is: checks, and what can be run after them.

use serde::Serialize;

use crate::kind::ClusterKind;

/// Something that a machine may be able to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The `local` cluster: processes, without root and Docker.
    Local,
    /// The `kind` cluster with images that were given, are on this machine or can be pulled.
    Kind,
    /// The `kind` cluster with images that are built on this machine, without any registry.
    KindBuilt,
    /// Mounts of NFS volumes in the nodes of a `kind` cluster without the kernel's client.
    UserSpaceMounts,
}

impl Way {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [
        Self::Local,
        Self::Kind,
        Self::KindBuilt,
        Self::UserSpaceMounts,
    ];

    /// What it is, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Local => "cluster `local`",
            Self::Kind => "cluster `kind`, images at hand or pulled",
            Self::KindBuilt => "cluster `kind`, images built here",
            Self::UserSpaceMounts => "NFS mounts in user space",
        }
    }

    /// Whether somebody who asks for a kind of cluster wants to know of it.
    pub fn concerns(self, kind: ClusterKind) -> bool {
        match kind {
            ClusterKind::Local => self == Self::Local,
            ClusterKind::Kind => self != Self::Local,
        }
    }
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it must be.
    Ok,
    /// It may do; or it is not known.
    Warning,
    /// What needs it cannot run.
    Missing,
}

impl Verdict {
    /// The word for people, the same as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// A stable name: `docker-daemon`.
    pub id: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// What there is.
    pub found: String,
    /// What there should be.
    pub needed: String,
    /// The one against the other.
    pub verdict: Verdict,
    /// The command, or the act, that mends it; `None` where nothing has to be mended, or can be.
    pub mend: Option<String>,
    /// What cannot run while it is missing.
    pub ways: Vec<Way>,
}

/// Whether something can be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WayState {
    /// What.
    pub way: Way,
    /// Whether nothing that it needs is missing.
    pub runs: bool,
    /// Ids of the checks that stand in its way.
    pub missing: Vec<&'static str>,
    /// Ids of the checks that may.
    pub warnings: Vec<&'static str>,
}

/// All checks, and what can be run after them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What was looked at, in the order in which it is told.
    pub checks: Vec<Check>,
    /// What can be run, in the order of [`Way::ALL`].
    pub ways: Vec<WayState>,
}

impl Diagnosis {
    /// The diagnosis after these checks.
    pub fn of(checks: Vec<Check>) -> Self {
        let ways = Way::ALL
            .into_iter()
            .map(|way| {
                let ids = |verdict| -> Vec<&'static str> {
                    checks
                        .iter()
                        .filter(|check| check.verdict == verdict && check.ways.contains(&way))
                        .map(|check| check.id)
                        .collect()
                };
                let missing = ids(Verdict::Missing);
                WayState {
                    way,
                    runs: missing.is_empty(),
                    missing,
                    warnings: ids(Verdict::Warning),
                }
            })
            .collect();
        Self { checks, ways }
    }

    /// Whether a cluster of this kind can be run, in one way or another.
    pub fn runs(&self, kind: ClusterKind) -> bool {
        let wanted: &[Way] = match kind {
            ClusterKind::Local => &[Way::Local],
            ClusterKind::Kind => &[Way::Kind, Way::KindBuilt],
        };
        self.ways
            .iter()
            .any(|state| state.runs && wanted.contains(&state.way))
    }

    /// The part of it that is about a kind of cluster.
    #[must_use]
    pub fn about(self, kind: ClusterKind) -> Self {
        let Self { checks, ways } = self;
        Self {
            checks: checks
                .into_iter()
                .filter(|check| check.ways.iter().any(|way| way.concerns(kind)))
                .collect(),
            ways: ways
                .into_iter()
                .filter(|state| state.way.concerns(kind))
                .collect(),
        }
    }
}

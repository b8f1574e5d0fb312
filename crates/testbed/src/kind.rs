//! The kinds of clusters, and what each offers: known before anything is started.

use std::fmt;
use std::str::FromStr;

/// Label of a pod: while it is `true`, a simulated node runs the pod without making it Ready.
pub const HOLD_READY: &str = "claimcheck.dev/hold-ready";
/// Label of a pod: while it is `true`, a simulated node keeps the pod that is being deleted.
pub const HOLD_TERMINATION: &str = "claimcheck.dev/hold-termination";

/// A kind of cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterKind {
    /// Real control-plane processes on this machine, with simulated nodes.
    #[default]
    Local,
    /// Real nodes in containers, made by kind, with an NFS server in a container beside them.
    Kind,
}

/// A kind that is not built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of cluster `{0}`; allowed are `local`, `kind`")]
pub struct UnknownKind(pub String);

impl ClusterKind {
    /// What cases may need of it: `cp` control plane, `dn` DNS, `nd` real nodes, `fi` faults, as far
    /// as containers can be killed and kubelets restarted.
    pub fn modes(self) -> Vec<String> {
        let modes: &[&str] = match self {
            Self::Local => &["cp", "dn"],
            Self::Kind => &["cp", "dn", "nd", "fi"],
        };
        modes.iter().map(|&mode| mode.to_owned()).collect()
    }
}

impl ClusterKind {
    /// The subject that is meant by `given` here: `reference` runs as a process beside a `local`
    /// cluster, and in the cluster, by the walkthrough's own manifests, on `kind`.
    pub fn subject(self, given: &str) -> &str {
        match (self, given) {
            (Self::Kind, "reference") => "reference-incluster",
            (Self::Local | Self::Kind, given) => given,
        }
    }
}

impl fmt::Display for ClusterKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => formatter.pad("local"),
            Self::Kind => formatter.pad("kind"),
        }
    }
}

impl FromStr for ClusterKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        match text {
            "local" => Ok(Self::Local),
            "kind" => Ok(Self::Kind),
            _ => Err(UnknownKind(text.to_owned())),
        }
    }
}

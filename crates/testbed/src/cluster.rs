//! Clusters that cases run on.

use async_trait::async_trait;

use crate::state::{ChildRecord, ClusterInfo};

mod access;
mod error;
#[cfg(feature = "kind")]
pub mod kind;
pub mod local;

pub use error::{ClusterError, Died, Part};

/// A cluster that is up.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What others need to know to use it.
    fn describe(&self) -> ClusterInfo;

    /// Its processes on this machine, in the order of their start.
    fn children(&self) -> Vec<ChildRecord>;

    /// Ends when a part of the cluster fails, with what failed. What a case observes after that is
    /// the testbed's doing, not the subject's.
    async fn failed(&self) -> Died;

    /// Takes the cluster down. Its directory and its logs stay: they belong to the testbed.
    async fn down(self: Box<Self>);
}

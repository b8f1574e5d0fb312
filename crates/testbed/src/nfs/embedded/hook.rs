//! The seam before each call, for faults, and the count of calls.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Procedure;

/// How many procedures NFS v3 has.
const PROCEDURES: usize = 22;

/// A call that is about to be carried out.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The procedure of NFS v3.
    pub procedure: Procedure,
    /// The path below the export's root that the call's first object was last seen under, without
    /// a leading slash; empty for the root, and for what the server has no path for.
    pub path: &'a str,
    /// Which call of this procedure it is since the export was started, from 1.
    pub count: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out.
    Proceed,
}

/// Decides on each NFS call before it is carried out. It runs on the blocking pool.
pub trait CallHook: Send + Sync + 'static {
    /// The decision on `call`.
    fn before(&self, call: &Call<'_>) -> Verdict;
}

/// Lets every call through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Passthrough;

impl CallHook for Passthrough {
    fn before(&self, _call: &Call<'_>) -> Verdict {
        Verdict::Proceed
    }
}

/// A counter for each procedure.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; PROCEDURES]);

impl Counters {
    /// Counts a call and says which one it is, from 1.
    pub(crate) fn count(&self, procedure: Procedure) -> u64 {
        self.0[procedure as usize].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many calls of a procedure were carried out.
    pub(crate) fn read(&self, procedure: Procedure) -> u64 {
        self.0[procedure as usize].load(Ordering::Relaxed)
    }
}

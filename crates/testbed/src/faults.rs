//! Faults between a subject and what it works on, placed by the observed call and never by a timer:
//! a proxy before the API server (`api`) and one before an `NFSv3` server (`nfs`).
//!
//! Both log every call by name in the order of arrival, and both follow a [`Plan`]: rules that take
//! the n-th call of a kind and refuse it, lose it, lose its answer, delay it or hold it. A call that
//! no rule takes is passed on untouched, so a subject behind the proxies of an empty plan works as
//! if they were not there.
//!
//! An [`Arrest`] holds one call until a test says what becomes of it: the way to kill a process
//! right before or right after a certain step.

#[cfg(feature = "faults")]
pub mod api;
mod gate;
pub mod nfs;
mod plan;

pub use plan::{Arrest, Entry, Fate, Fault, Moment, Plan, Rule, When};

//! Whole runs of the built binary, with a real control plane each. They need the cluster's tools:
//! given, cached, downloaded or built, as for any run; those of module `kind` need Docker and its
//! images too, and have a nextest profile of their own.
//!
//! One at a time: each boots a control plane, and the tests' own limits are for a machine that
//! runs one.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

mod bench;
mod kind;
mod local;
mod packaging;
mod place;

//! The command line as people see it: the built binary, and what it writes at the end of a run.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

mod bench;
mod canned;
mod doctor;
mod errors;
mod explain;
mod help;
mod list;
mod provisioner;
mod status;
mod summary;
mod support;

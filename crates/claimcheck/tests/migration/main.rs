//! The reference provisioner takes over from nfs-subdir, on a real control plane, as
//! `docs/migration.md` says it is done; and what it does with every set of rights that people have.
//!
//! `older` makes volumes as nfs-subdir does: its objects and its directories, by its rules.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

mod bed;
mod objects;
mod older;
mod process;
mod rights;
mod rollback;
mod takeover;

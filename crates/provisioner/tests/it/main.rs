//! The provisioner as a whole, against an export and a cluster in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its own set-up fails"
)]

mod adoption;
mod ahead;
mod api;
mod bursts;
mod classes;
mod crashes;
mod directories;
mod forged;
mod life;
mod links;
mod memory;
mod operations;
mod outages;
mod parameters;
mod refusals;
mod restoring;
mod safety;
mod served;
mod sharing;
mod slashes;
mod stale;
mod startup;
mod watched;
mod world;

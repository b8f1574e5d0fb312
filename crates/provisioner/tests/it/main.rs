//! The provisioner as a whole, against an export and a cluster in memory.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its own set-up fails"
)]

mod api;
mod crashes;
mod directories;
mod life;
mod memory;
mod outages;
mod safety;
mod world;

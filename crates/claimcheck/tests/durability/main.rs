//! The reference provisioner as a real process, between a real control plane and a real export, with
//! a proxy on either side that injects faults by the observed call (`testbed::faults`).
//!
//! `points` kills it at every call of provisioning and reclaiming; `export` and `api` let one side
//! fail in every way there is and look at who has to wait. `ha` has replicas under one lock, `twins`
//! such that no lock keeps apart. `squash` has an export that takes root for somebody else, `many`
//! claims by the hundred, `warnings` an eye on what the API server warns of. Each boots a control
//! plane: one at a time.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

mod api;
mod bed;
mod disk;
mod export;
mod ha;
mod judge;
mod many;
mod names;
mod objects;
mod points;
mod replica;
mod scenario;
mod squash;
mod station;
mod twins;
mod wait;
mod warnings;
mod watched;

//! Tools from a local server and from a stand-in for Go: good and bad archives, good and bad
//! checksums, interruptions, and two runs at once.
#![cfg(feature = "tools")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not recognised as tests"
)]

mod building;
mod commands;
mod downloading;
mod given;
mod interruption;
mod server;
mod support;

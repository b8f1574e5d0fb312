//! Mounts of a real server, through the kernel. They need root and `/dev/fuse`; where these are
//! missing each test says so and checks nothing.

#![expect(
    clippy::print_stderr,
    reason = "figures, and why nothing was tested, belong into the test's output"
)]

#[path = "mount/data.rs"]
mod data;
#[path = "mount/front.rs"]
mod front;
#[path = "mount/identity.rs"]
mod identity;
#[path = "mount/life.rs"]
mod life;
#[path = "mount/metadata.rs"]
mod metadata;
#[path = "mount/names.rs"]
mod names;
#[path = "mount/restart.rs"]
mod restart;
#[path = "mount/sharing.rs"]
mod sharing;
#[path = "mount/silence.rs"]
mod silence;
#[path = "mount/support.rs"]
mod support;

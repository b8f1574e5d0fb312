//! The NFS server in a container, through the eyes of clients of both versions.
//!
//! They need Docker and an image of the server: `CLAIMCHECK_TEST_NFS_IMAGE`, else the newest
//! `claimcheck/nfs-server` on this machine. Where one is missing they say so and show nothing, unless
//! `CLAIMCHECK_TEST_DOCKER=required`, where they fail.
#![cfg(feature = "kind")]
#![expect(
    clippy::print_stderr,
    reason = "a test that cannot show anything says so, and times of restarts are worth a look"
)]

#[path = "container/bed.rs"]
mod bed;
#[path = "container/failing.rs"]
mod failing;
#[path = "container/restart.rs"]
mod restart;
#[path = "container/serving.rs"]
mod serving;

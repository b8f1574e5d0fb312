//! Both backends against the same expectations: the mounted one on a directory, the direct one
//! over the wire on an NFSv3 server that serves a directory.

#![expect(
    clippy::unwrap_used,
    reason = "what tests share fails like the tests themselves"
)]

mod calls;
mod connection;
mod links;
mod namespace;
mod proxy;
mod refused;
mod removal;
mod renames;
mod state;
mod subject;

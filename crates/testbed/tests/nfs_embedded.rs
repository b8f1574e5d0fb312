//! The embedded export through the eyes of clients: `nfs3_client`, `nfs-rs`, the view, and bytes on
//! a socket.
#![cfg(all(feature = "embedded", feature = "export-view"))]

#[path = "nfs/support.rs"]
mod support;

#[path = "nfs/handles.rs"]
mod handles;
#[path = "nfs/listing.rs"]
mod listing;
#[path = "nfs/mounting.rs"]
mod mounting;
#[path = "nfs/names.rs"]
mod names;
#[path = "nfs/nfs_rs_client.rs"]
mod nfs_rs_client;
#[path = "nfs/objects.rs"]
mod objects;
#[path = "nfs/owners.rs"]
mod owners;
#[path = "nfs/permissions.rs"]
mod permissions;
#[path = "nfs/view.rs"]
mod view;
#[path = "nfs/wire.rs"]
mod wire;

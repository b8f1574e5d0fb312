//! The fault proxies with real clients: the view of an export, and kube's client.
#![cfg(all(feature = "faults", feature = "export-view"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "faults/api.rs"]
mod api;
#[path = "faults/export.rs"]
mod export;

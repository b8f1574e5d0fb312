//! The calls of NFS (RFC 1813), and the way to an export's root.

mod attributes;
mod calls;
mod setup;
mod status;

pub(crate) use attributes::new_object;
#[cfg(test)]
pub(crate) use calls::handle;
pub(crate) use calls::{Client, Entry, Fault, Made, Outcome};
pub(crate) use setup::{Limits, find};
pub(crate) use status::errno_of;

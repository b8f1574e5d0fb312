//! Attributes that are sent to the server.

use nfs3_types::nfs3::{Nfs3Option, sattr3};

/// The attributes of a new object: its mode, everything else as the server sees fit.
pub(crate) fn new_object(mode: u32) -> sattr3 {
    sattr3 {
        mode: Nfs3Option::Some(mode & 0o7777),
        ..sattr3::default()
    }
}

//! The procedures of NFS v3 (RFC 1813, section 3.3), one function each: arguments and caller in,
//! result with the attributes that the protocol wants out.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod listing;
pub(crate) mod name_changes;
pub(crate) mod set_attributes;
pub(crate) mod transfer;

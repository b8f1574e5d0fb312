//! Remote procedure calls over TCP (RFC 5531).
//!
//! One connection serves all callers at once: calls are told apart by their number, each with its
//! own identity. When the connection breaks, it is made anew and calls that were not answered are
//! sent again with the same number, so that a server which remembers replies gives the first one
//! again.

mod connection;
mod link;
mod message;
mod patience;
mod socket;

pub(crate) use connection::Connection;
pub(crate) use link::{CallError, Link, LinkOptions, random16, random64};
pub(crate) use message::{Message, ReplyError, decode_reply};
pub(crate) use patience::{Patience, TICK};
pub(crate) use socket::{Socket, connect};

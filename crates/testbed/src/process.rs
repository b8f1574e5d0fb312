//! Child processes in groups of their own, which end with their owner whatever way it ends.
//!
//! Every child is started through a guard: this executable again, with `__guard` as its first
//! argument ([`guard_if_asked`]). The guard asks the kernel for its own death when the owner dies
//! (`PR_SET_PDEATHSIG`, prctl(2)), makes the mounts that the child needs, and becomes the child. So
//! not even `kill -9` of the owner leaves a child behind. Linux only.

mod child;
mod group;
mod guard;
mod log;
mod ports;

pub use child::{Bind, Child, ProcessError, Spec};
pub use guard::guard_if_asked;
pub use log::tail;
pub(crate) use ports::{Port, reserve};

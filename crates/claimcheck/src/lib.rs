//! The command line of Claimcheck, which wires everything: tools, cluster, export, subject, cases,
//! reports. The binary is a shim over [`main`].
//!
//! What is public here serves the binary and the tests of this package; nothing else depends on it.

mod attach;
mod bed;
mod bench;
pub mod cli;
pub mod exit;
mod failure;
mod kill;
mod live;
mod options;
mod printer;
mod report_files;
mod signals;
pub mod summary;
mod table;

pub use cli::main;
pub use printer::Paint;

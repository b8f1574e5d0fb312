//! What is judged: the catalogue of rules, the cases that make them executable, and what runs and
//! reports them. It knows clusters only as plain data, and no provisioner at all.

pub mod case;
pub mod cases;
pub mod catalogue;
mod dump;
pub mod expect;
pub mod limits;
mod lock;
#[cfg(test)]
mod mock;
pub mod outcome;
pub mod report;
pub mod runner;
pub mod selection;
pub mod subject;
pub mod suite;
pub mod tracker;
pub mod trouble;
pub mod world;

//! Bursts of claims, measured: how fast a provisioner works, beside what the control plane does by
//! itself.
//!
//! One control plane serves all of it. A *burst* makes N claims at once, waits until all are Bound,
//! deletes them at once and waits until their volumes are gone. A *round* is one burst of each
//! contender: the ceiling first, where it was asked for, then every subject in its order, each
//! started anew. What is reported are medians over rounds, and ratios within one round, so that a
//! machine that is slower for a while is slower for all of them.
//!
//! The *ceiling* is the controller-manager alone: the volumes are made beforehand, each reserved for
//! its claim, so that nothing is left to do but to bind; they are deleted as soon as they are
//! Released. No provisioner can be much faster on the same control plane.

mod audit;
mod beside;
mod burst;
mod figures;
mod files;
mod ground;
mod objects;
mod order;
mod report;
mod rounds;
mod table;
mod timeline;
mod usage;
mod watching;

pub(crate) use files::BenchFiles;
pub(crate) use ground::Ground;
pub(crate) use order::{BenchFlags, Beside, Order};
pub(crate) use report::{Facts, Report};
pub(crate) use rounds::all;
pub(crate) use table::render;

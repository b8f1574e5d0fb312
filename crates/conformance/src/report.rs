//! The report: a versioned object, and its writers. The JSON is the original; the others are made
//! from it.

pub mod json;
pub mod junit;
pub mod model;

pub use model::Report;

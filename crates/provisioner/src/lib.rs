//! The reference provisioner: a subdirectory of one existing NFS export for every claim.
//!
//! Everything goes through three seams ([`seams::Seams`]): the export ([`backend::Backend`]), the
//! API ([`cluster::ClusterApi`]) and the decisions ([`rules::Rules`]). [`app::run`] wires them to
//! two controllers, [`claims`] and [`volumes`], under a lock ([`lease`]). What happens on the
//! export is recorded there first ([`records`], [`intents`]).

pub mod access;
pub mod adopt;
pub mod app;
pub mod backend;
pub mod backoff;
pub mod caches;
pub mod claims;
pub mod class;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod constants;
pub mod decide;
pub mod error;
pub mod events;
pub mod export;
pub mod health;
pub mod http;
pub mod index;
pub mod intents;
pub mod lease;
pub mod logging;
pub mod metrics;
pub mod operations;
pub mod path;
mod quantity;
pub mod queue;
pub mod records;
pub mod rules;
mod scraps;
pub mod seams;
pub mod storage;
pub mod volumes;

//! The deterministic simulator: whole clusters of the real cores in a world of virtual time, with a
//! network, disks and clocks that fail, clients that never give up, and an oracle that knows what
//! must hold. One seed gives one run, event by event.
//!
//! [`cli::run`] is what `cargo xtask sim` calls; `docs/testing.md` says how to use it. [`history`] judges
//! what clients saw, in simulations and in real meshes alike; [`model`] explores a few members exhaustively,
//! [`spanning`] a transaction over two partitions.

pub mod cli;
pub mod history;
pub mod model;
pub mod spanning;

mod bank;
mod batch;
mod client;
mod clock;
mod command;
mod coverage;
mod disk;
mod invariants;
mod machine;
mod mutations;
mod name;
mod network;
mod node;
mod plan;
mod random;
mod run;
mod schedule;
mod script;
mod shrink;
mod takeover;
mod topics;
mod trace;
mod world;

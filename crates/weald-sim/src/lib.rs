//! The deterministic simulator: virtual network, disks and clocks, the oracle, one file per invariant.
//!
//! [`history`] judges what clients saw, in simulations and in real meshes alike; [`model`] explores a few
//! members exhaustively.

pub mod history;
pub mod model;

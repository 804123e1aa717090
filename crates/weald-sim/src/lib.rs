//! The deterministic simulator: virtual network, disks and clocks, the oracle, one file per invariant.
//!
//! The simulator itself holds no code yet: it runs the cores of `weald-cluster` once they replicate.
//! [`history`] judges what clients saw, in simulations and in real meshes alike.

pub mod history;

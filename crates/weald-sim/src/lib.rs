//! The deterministic simulator: virtual network, disks and clocks, the oracle, one file per invariant.
//!
//! Holds no code yet: it runs the cores of `weald-cluster` once they replicate.
pub mod model;

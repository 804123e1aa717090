//! What the benchmarks share: figures beside times, and what the system tells of this process.

pub mod figures;
pub mod process;

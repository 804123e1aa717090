//! Tests that need several crates, real processes and real files.
//!
//! [`crash`] is what the kill tests share: the words in which a writer process tells what was
//! acknowledged, and the checker that compares this with what a reopened database holds.

pub mod crash;

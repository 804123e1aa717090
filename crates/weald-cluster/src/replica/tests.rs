//! A few members in memory: messages and syncs happen when a test says so.

mod changes;
mod clocks;
#[cfg(feature = "mutations")]
mod mutations;
mod recoveries;
mod refusals;
mod rig;
mod strangers;
mod streams;
mod takeovers;
mod writes;

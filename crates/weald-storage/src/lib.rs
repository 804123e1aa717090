//! Storage of Weald.

mod atomic_file;
pub mod engine;
pub mod header;
pub mod identity;
pub mod journal;
pub mod log;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

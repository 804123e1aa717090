//! Storage of Weald.

pub mod engine;

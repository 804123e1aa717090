//! Replication as pure state machines: [`partition`] applies a log, later `replica` agrees on it.

pub mod partition;

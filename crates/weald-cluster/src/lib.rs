//! Replication as pure state machines: a [`replica`] agrees with its peers on the log of a
//! partition, a [`partition`] applies it. Who the peers are is a [`configuration`].

pub mod configuration;
mod kinds;
mod log_time;
pub mod mutation;
pub mod partition;
pub mod replica;

pub use log_time::LogTime;

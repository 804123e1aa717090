//! Engines for the tests of what stands on an engine. Behind the feature `testing`.

mod fault_engine;

pub use fault_engine::{Fault, FaultEngine, FaultSchedule};

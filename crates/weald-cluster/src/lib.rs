//! Replication as pure state machines: [`partition`] applies a log, [`placement`] says which nodes
//! should hold it, [`routing`] finds who does.

pub mod partition;
pub mod placement;
pub mod routing;

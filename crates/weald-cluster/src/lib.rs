//! Replication as pure state machines: a [`replica`] agrees with its peers on the log of a
//! partition, a [`partition`] applies it. Who the peers are is a [`configuration`]; who they should
//! be is computed by [`placement`]; [`founding`] makes networks and lets nodes in; [`routing`] finds who
//! coordinates. Where a majority is lost for good, [`recovery`] begins anew with what is left.

pub mod configuration;
pub mod founding;
mod kinds;
mod log_time;
pub mod mutation;
pub mod partition;
pub mod placement;
pub mod pulse;
pub mod recovery;
pub mod replica;
pub mod routing;

pub use log_time::LogTime;

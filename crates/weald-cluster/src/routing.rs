//! Finding the node that can serve a request, and asking until there is an answer.
//!
//! [`Map`] is what a node believes about partitions: which keys they have, who their members are and
//! who coordinates them. It only ever learns newer things. A node uses it to answer what is not its
//! own ([`Map::answer`]); a client uses it inside [`Router`], the state machine that sends a request,
//! follows the answers, retransmits and gives up in time (rule C13).
//!
//! **Invariant:** a map is a hint. A wrong one costs a hop; who may execute a request is decided by
//! the partition's own log.

mod backoff;
mod breaker;
mod error;
pub mod limits;
mod map;
mod message;
mod router;
mod segments;

pub use backoff::{Backoff, Jitter};
pub use breaker::{BreakerConfig, BreakerState};
pub use error::{Class, RouteError, Table, UnknownReason};
pub use map::{Map, Part, Reign, Version};
pub use message::{Answer, Purpose, Reply, Request, Ticket};
pub use router::{Config, ConfigError, Counters, Input, Output, Router, Submit};

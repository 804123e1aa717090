//! The network node of Weald over libp2p: connections, frames and calls between peers, discovery,
//! lookups and the address book. The only crate that names libp2p.
//!
//! [`Network::start`] takes a [`Config`] and the [`Handlers`](weald_core::Handlers) of the node and
//! gives a [`Network`], which implements [`Mailbox`](weald_core::Mailbox) and
//! [`Transport`](weald_core::Transport). One task drives libp2p's swarm; each connection has a task
//! that reads and writes all of its substreams, see `link`.
//!
//! **Invariant:** whoever is told of as connected has proved its key, is allowed, and speaks the
//! protocol of this network.
//!
//! **Invariant:** no queue, table or buffer grows with what peers send beyond the bounds in
//! [`limits`].

mod channel;
mod config;
mod driver;
mod error;
mod hub;
mod identity;
pub mod limits;
mod line;
mod lines;
mod link;
mod lookup;
mod metrics;
mod network;
mod origins;
mod protocol;
mod reachable;
mod sources;
mod swarm;
mod transport;

pub use config::{
    Admission, Config, ConnectionLimits, Discovery, Multicast, PreSharedKey, Reachability, Redial,
};
pub use error::{CommandError, StartError};
pub use lookup::{Fallback, NearPeer, Nearest, NearestSource};
pub use metrics::Metrics;
pub use network::{Network, is_address, is_relay_address};
pub use protocol::{NetworkName, NetworkNameError, VERSION, VERSION_MIN};
pub use reachable::Reachable;
pub use sources::{SourceLimiter, Turn};
